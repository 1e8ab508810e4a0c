"""What callers send. Unknown fields are refused."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from service.serving.references import NAME
from service.uploads.items import Reading

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Kinds = Annotated[dict[str, Literal["number", "boolean", "date", "category", "ignore"]], Field(max_length=1_000)]


Labels = dict[str, dict[str, str | None]]


def _json(value: object) -> object:
    """A form has nothing but texts: an object comes as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}") from None


def _pairs(value: object) -> object:
    """JSON has no pairs but lists of two."""
    return [tuple(pair) if isinstance(pair, list) else pair for pair in value] if isinstance(value, list) else value


def _parents(value: object) -> object:
    """In a form a list is its items with commas between them; in JSON it is a list."""
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    return tuple(value) if isinstance(value, list) else value


class _Reading(_Request):
    """How to read a file of labelled items."""

    modality: Literal["text", "image", "audio", "table", "vector"] | None = None
    """What the items are: texts, images, sounds, rows of a table, or embeddings of your own. Guessed when left out: an
    archive, or a Parquet column of files, holds images or sounds; a `target` means a table, a NumPy file or a Parquet
    column of lists of numbers means vectors, and anything else texts."""
    text: str | None = None
    """Column of the texts; guessed when left out."""
    label: str | None = None
    """Column of the labels; guessed when left out."""
    target: str | None = None
    """Column that is to be predicted, of a table; of texts (with `text` or `modality`), images and sounds, a column of
    numbers or labels."""
    task: Literal["classification", "multilabel", "regression"] | None = None
    """Whether one class, any number of classes (lists, or names joined by `|`), or a number is learned of each item; by
    the target's values when left out."""
    group: str | None = None
    """Column (or array) that says which rows belong together, such as a patient, a session or a speaker: they are never
    split between what is learned from and what it is measured on. It is no feature of a table."""
    weight: str | None = None
    """Column (or array) of how much each row counts: finite numbers, none negative; 2 counts as the row twice. It is no
    feature of a table."""
    columns: Annotated[Kinds, BeforeValidator(_json)] = Field(default_factory=dict)
    """What columns of a table are, where the guess is wrong: number, boolean, date, category, or ignore."""
    strict: bool = False
    """Refuse the upload if any row is bad, instead of leaving bad rows out."""

    def reading(self) -> Reading:
        """The same for `service.uploads`."""
        names = ("modality", "text", "label", "target", "task", "group", "weight", "columns", "strict")
        return Reading(**{name: getattr(self, name) for name in names})


class DatasetMeta(_Reading):
    """How to read an upload (`meta` of POST /v1/datasets)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """What to call it; the file's name otherwise."""


class _Fitting(_Request):
    """What to fit, whatever it is fitted to."""

    name: Name
    """Name of the adapter; a new name makes a new adapter, a known one a new version."""
    backbone: str | None = None
    """Name of a hosted backbone, or `auto`: all of the dataset's modality are compared on a part of it, and the best
    one is taken. When left out, the first one of the modality that was trained. Tables and vectors have none."""
    long: Literal["truncate", "chunk"] | None = None
    """What becomes of texts and sounds that are longer than the backbone takes: their end is left out (`truncate`, the
    default), or all of their parts are embedded and averaged (`chunk`). Predictions do the same."""
    tap: Literal["pooled", "blocks"] | None = None
    """What of the backbone is learned from: its embedding (`pooled`, the default), or the pooled activations of any of
    its blocks, picked or joined by their held-out loss (`blocks`)."""
    parents: Annotated[tuple[str, ...], BeforeValidator(_parents), Field(max_length=16)] = ()
    """The version to grow from, such as `intents:3`: the new one starts there, stays close to it, and keeps its classes
    in their order; the dataset may bring more rows, new classes, or both. Of method `ensemble` the versions that are
    averaged, 2 to 16; of `conse` the one whose answers are."""
    labels: Annotated[Labels, BeforeValidator(_json)] = Field(default_factory=dict)
    """Of method `ensemble`: for a version of `parents`, what its labels are called in the average, where that is not
    their own name; null leaves one out. `{"old:2": {"refund": "money_back", "other": null}}`."""
    signatures: str | None = None
    """Id of the signatures (`sig_...`) that tell the classes, those included that the dataset has no example of."""
    peft: str | None = None
    """Folder of a LoRA adapter in PEFT's format (`adapter_config.json`, `adapter_model.safetensors`) to start from, for
    the method `lora`; it lies under a folder that the operator allows."""
    max_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Time after which nothing further is tried and the best so far is published, in seconds; 60 when left out. The
    operator sets the most. Items are always embedded to the last; a quarter of this time is kept for what follows."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Source of all randomness: the same data, request and seed give the same head."""
    promote: Literal["auto", "always", "never"] = "auto"
    """Whether `live` moves to the new version: `auto` moves it unless it is worse on the same held-out items.
    An adapter's first version is always live."""


class AdaptRequest(_Fitting):
    """What to fit (POST /v1/adapters)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "intents", "dataset": "ds_...", "method": "auto"},
                {"name": "animals", "dataset": "ds_...", "signatures": "sig_...", "method": "eszsl"},
                {"name": "both", "dataset": "ds_...", "parents": ["intents:1", "words:1"], "method": "ensemble"},
            ]
        }
    )

    dataset: str | None = None
    """Id of the labelled dataset. Left out where nothing is learned of rows: `ensemble` with weights, `names` with
    signatures made of texts, `conse` with a version to average."""
    method: Any = "auto"
    """A method's name, or an object with its name in `method` and its parameters."""


class AdaptForm(_Fitting, _Reading):
    """The same as a multipart form, with `file` in place of `dataset`."""

    method: str = "auto"
    """A method's name, or its object as JSON text."""


class VersionRequest(_Request):
    """A version that needs no fit (POST /v1/adapters/{name}/versions)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"labels": {"refund": "the customer wants money back"}, "backbone": "minilm-l6"},
                {"from": 3, "signatures": "sig_..."},
            ]
        }
    )

    from_: int | None = Field(None, alias="from", ge=1, lt=2**31)
    """The version of this adapter whose classes are to be told by other signatures."""
    signatures: str | None = None
    """Id of the signatures that tell the classes (`sig_...`)."""
    labels: Any = None
    """Instead of `signatures`: a list of labels, or an object of labels with a description or several each."""
    templates: list[str] | None = None
    """What is embedded of each of `labels`, `{}` standing for it; several are averaged."""
    backbone: str | None = None
    """Without `from`: the backbone whose items are told by the labels; a text backbone, or one tower of a pair."""
    long: Literal["truncate", "chunk"] | None = None
    """Without `from`: what becomes of texts that are longer than the backbone takes."""
    promote: Literal["auto", "always", "never"] = "auto"
    """Whether `live` moves to the new version; `auto` and `always` move it."""


class AliasRequest(_Request):
    """Where an alias points (PUT /v1/adapters/{name}/aliases/{alias})."""

    version: int = Field(ge=1)


class OneOffClass(_Request):
    """A class that is given in a call: by its attributes, as a mixture, or by words.

    A name alone stands for one of the version's own classes, or for itself where classes are told by words.
    """

    name: str = Field(min_length=1, max_length=1_000)
    """What it is called in the answer."""
    attributes: dict[str, bool | float | None] | None = None
    """Values by attribute, of the attributes that the version was fitted with; what is left out or null is unknown."""
    mixture: Annotated[list[tuple[str, float]], BeforeValidator(_pairs)] | None = None
    """Classes of the version, or of this call, each with its weight; their weighted mean."""
    description: str | list[str] | None = None
    """Words, where the version's classes are told by words."""


class PredictRequest(_Request):
    """What to predict (POST /v1/adapters/{ref}/predict)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": ["I want my money back"]},
                {"inputs": ["I want my money back"], "explain": True},
                {
                    "inputs": [{"image": "<base64>"}],
                    "classes": [
                        {"name": "okapi", "attributes": {"stripes": 1, "hooves": 1, "long neck": 0.5}},
                        {"name": "liger", "mixture": [["tiger", 0.5], ["lion", 0.5]]},
                    ],
                    "with_own": True,
                },
            ]
        }
    )

    inputs: list[Any] = Field(min_length=1)
    """1 to 1,000 inputs of the adapter's modality: texts, `{"image": "<base64>"}`, `{"audio": "<base64>"}`,
    `{"embedding": [...]}`, or objects of columns."""
    top_k: int = Field(3, ge=1, le=100_000)
    """Most labels listed an input."""
    long: Literal["truncate", "chunk"] | None = None
    """What becomes of texts and sounds that are longer than the backbone takes: their end is left out (`truncate`), or
    all parts are embedded and averaged (`chunk`). As the adapter was fitted when left out."""
    explain: bool = False
    """Say with each prediction why: `attributes` that the input is taken to have, `sources` that it is averaged over,
    or `neighbours` among the items of the fit, as the version can tell."""
    classes: list[OneOffClass] | None = Field(None, min_length=1, max_length=1_000)
    """Classes of this call, for a version made with signatures; the answer is one of them."""
    with_own: bool = False
    """With `classes`: the version's own are in the answer too."""


class PredictItemsOptions(_Request):
    """How to predict images or sounds sent as they are: parameters of the query, or fields of the form."""

    explain: bool = False
    """Say with each prediction why; see JSON inputs."""
    top_k: int = Field(3, ge=1, le=100_000)
    """Most labels listed an input."""
    long: Literal["truncate", "chunk"] | None = None
    """What becomes of sounds that are longer than the backbone takes; as the adapter was fitted when left out."""


class PredictFileOptions(_Request):
    """How to predict a file (POST /v1/adapters/{ref}/predict): parameters of the query, or fields of the form."""

    text: str | None = None
    """Column of the texts; guessed when left out."""
    top_k: int = Field(1, ge=1, le=100)
    """Most labels of each row; those behind the first are columns of their own."""
    long: Literal["truncate", "chunk"] | None = None
    """What becomes of texts that are longer than the backbone takes; as the adapter was fitted when left out."""
