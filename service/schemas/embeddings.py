"""Embeddings on the wire, in OpenAI's shape: its clients send and read these as they are."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

_INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_VECTOR_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string", "format": "byte"}]}


class EmbeddingsRequest(BaseModel):
    """What to embed (POST /v1/embeddings)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str = Field(min_length=1)
    """Name of a hosted text backbone."""
    input: Annotated[Any, WithJsonSchema(_INPUT_SCHEMA)]
    """A text, or 1 to 1,000 texts. Token ids are not taken."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or the base64 of little-endian float32."""
    dimensions: int | None = Field(None, ge=1)
    """The backbone's own width, or left out."""
    user: str | None = None
    """Taken as OpenAI's clients send it, and not looked at."""
    long: Literal["truncate", "chunk"] = "truncate"
    """What becomes of texts that are longer than the backbone takes: their end is left out, or all parts are embedded
    and averaged. Not of OpenAI's shape."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class EmbeddingOut(_Answer):
    """The embedding of one text."""

    object: Literal["embedding"]
    index: int
    """Which text it is of, from 0."""
    embedding: Annotated[Any, WithJsonSchema(_VECTOR_SCHEMA)]
    """The numbers, or their base64."""


class UsageOut(_Answer):
    """What was computed."""

    prompt_tokens: int
    """Tokens that the backbone read, its special ones and its prefix included; not those that were left out."""
    total_tokens: int
    """The same."""


class EmbeddingsOut(_Answer):
    """The embeddings of a call, in the order of its texts."""

    object: Literal["list"]
    data: list[EmbeddingOut]
    model: str
    usage: UsageOut
    truncated: list[int] = []
    """Which texts lost their end, from 0; left out where none did. Not of OpenAI's shape."""


class ModelOut(_Answer):
    """A text backbone, as OpenAI lists models."""

    id: str
    object: Literal["model"]
    created: int
    """Always 0: the shape asks for it."""
    owned_by: str
    """Where the weights come from, one line."""


class ModelsOut(_Answer):
    """The text backbones that are ready."""

    object: Literal["list"]
    data: list[ModelOut]
