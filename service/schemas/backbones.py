"""Backbones on the wire: which one to host, and which ones to compare."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from service.schemas.requests import Name

Modality = Literal["text", "image", "audio"]
Tap = Annotated[str, StringConstraints(pattern=r"^(pooled|blocks|block[1-9][0-9]{0,2})$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Licence = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Prefix = Annotated[str, StringConstraints(max_length=200)]

_CONFIG = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _json(value: object) -> object:
    """A form has nothing but texts: an object or a list comes as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}") from None


class BackboneSource(BaseModel):
    """Where a backbone comes from: exactly one of `hub`, `path`, `words`, `catalog` and `adapter`."""

    model_config = _CONFIG

    hub: Annotated[str, StringConstraints(max_length=200, pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """Repository of the Hugging Face hub, `owner/name`, with safetensors."""
    revision: Annotated[str, StringConstraints(max_length=200, pattern=r"^[\w./-]+$")] | None = None
    """Commit, tag or branch of `hub`; `main` when left out. What it means the first time is kept."""
    path: Text | None = None
    """Folder on the service's machine, under one of the operator's folders, in Hugging Face layout."""
    words: Text | None = None
    """File of static word vectors on the service's machine, under one of the operator's folders."""
    format: Literal["word2vec-binary", "word2vec-text", "glove"] | None = None
    """Of `words`; by the file's name when left out."""
    timm: Annotated[str, StringConstraints(max_length=100, pattern=r"^[\w.-]+$")] | None = None
    """Architecture of timm that the weights of `hub` or `path` are for, such as `mobilenetv2_100`."""
    options: dict[str, bool | int | float | str | None] = Field(default={}, max_length=50)
    """Further arguments of that architecture, such as `{"pad_type": "same"}`."""
    catalog: Name | None = None
    """An entry of the catalogue, to be hosted under a name of your own."""
    adapter: Text | None = None
    """A version of yours, `name:3`, whose trunk up to the last hidden layer becomes a backbone."""


class _Chosen(BaseModel):
    """What can be chosen of a backbone, whatever it comes from."""

    model_config = _CONFIG

    id: Name
    """What to call it; a name of the catalogue alone hosts that entry."""
    modality: Modality | None = None
    """What an item is; guessed when left out, where that can be told."""
    preprocess: Annotated[dict[str, Any], BeforeValidator(_json), Field(max_length=20)] = {}
    """Of images: `size`, `resize`, `resample`, `mean`, `std`, `crop` where they differ from the weights' own; of
    sounds: `rate` in Hz."""
    licence: Licence = ""
    """SPDX id of the weights; shown with the backbone."""


class HostRequest(_Chosen):
    """Which backbone to host (POST /v1/backbones)."""

    source: BackboneSource | None = None
    """Where it comes from; the catalogue's entry of that `id` when left out."""
    pooling: Literal["mean", "cls", "last", "pooler", "projection"] | None = None
    """How hidden states become one embedding; as its makers use it when left out."""
    normalise: bool | None = None
    """Whether the embedding is brought to unit length; as its makers use it when left out."""
    tower: Literal["text", "vision"] | None = None
    """Of a two-tower backbone (CLIP, SigLIP), the one that is hosted."""
    prefix: Prefix = ""
    """Put before every text, such as `query: `."""
    max_tokens: int | None = Field(None, ge=2, le=32_768)
    """Longest text that is taken at once, in tokens."""
    max_seconds: float | None = Field(None, gt=0, le=3_600, allow_inf_nan=False)
    """Longest sound that is taken at once, in seconds."""
    taps: list[Tap] = Field(default=["pooled"], min_length=1, max_length=8)
    """Embeddings that are exported: `pooled`, `block3` behind block 3, and `blocks`, the means of all of them."""


class HostForm(_Chosen):
    """The same for an ONNX file, as a multipart form with `file`, and for texts a `tokenizer.json` as `tokenizer`."""

    modality: Modality
    """What an item is."""
    input: Annotated[str, StringConstraints(max_length=200)] = ""
    """Name of the graph's input: (n, 3, h, w) float32 for images, (n, t) float32 for sounds. Left out for texts, which
    take `input_ids` and `attention_mask`."""
    output: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Name of its output, (n, d)."""
    max_tokens: int | None = Field(None, ge=2, le=32_768)
    """Longest text that is taken at once, in tokens."""
    prefix: Prefix = ""
    """Put before every text."""
    normalise: bool | None = None
    """Whether the embedding is brought to unit length."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """Of an output (n, t, d): how it becomes one embedding."""
    max_seconds: float | None = Field(None, gt=0, le=3_600, allow_inf_nan=False)
    """Longest sound that is taken at once, in seconds."""


class RankRequest(BaseModel):
    """Which backbones to compare, and on what (POST /v1/backbones:rank)."""

    model_config = _CONFIG

    dataset: str
    """Id of a labelled dataset of texts, images or sounds."""
    backbones: list[Name] | None = Field(None, min_length=1, max_length=32)
    """Names of hosted ones; every one of the dataset's modality when left out."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Source of all randomness."""
