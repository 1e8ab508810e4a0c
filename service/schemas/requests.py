"""What callers send. Unknown fields are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.serving.references import NAME

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Reading(_Request):
    """How to read a file of labelled texts."""

    text: str | None = None
    """Column of the texts; guessed when left out."""
    label: str | None = None
    """Column of the labels; guessed when left out."""
    strict: bool = False
    """Refuse the upload if any row is bad, instead of leaving bad rows out."""


class DatasetMeta(_Reading):
    """How to read an upload (`meta` of POST /v1/datasets)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """What to call it; the file's name otherwise."""
    modality: Literal["text"] = "text"
    """What the items are."""


class _Fitting(_Request):
    """What to fit, whatever it is fitted to."""

    name: Name
    """Name of the adapter; a new name makes a new adapter, a known one a new version."""
    backbone: str | None = None
    """Name of a hosted backbone; the service's first one otherwise."""
    max_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Time that the fit may take, in seconds; 60 when left out. The operator sets the most."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Source of all randomness: the same data, request and seed give the same head."""
    promote: Literal["auto", "always", "never"] = "auto"
    """Whether `live` moves to the new version: `auto` moves it unless it is worse on the same held-out items.
    An adapter's first version is always live."""


class AdaptRequest(_Fitting):
    """What to fit (POST /v1/adapters)."""

    dataset: str
    """Id of the labelled dataset."""
    method: Any = "auto"
    """A method's name, or an object with its name in `method` and its parameters."""


class AdaptForm(_Fitting, _Reading):
    """The same as a multipart form, with `file` in place of `dataset`."""

    method: str = "auto"
    """A method's name, or its object as JSON text."""


class AliasRequest(_Request):
    """Where an alias points (PUT /v1/adapters/{name}/aliases/{alias})."""

    version: int = Field(ge=1)


class PredictRequest(_Request):
    """What to predict (POST /v1/adapters/{ref}/predict)."""

    inputs: list[str] = Field(min_length=1)
    """Texts, 1 to 1,000."""
    top_k: int = Field(3, ge=1, le=100_000)
    """Most labels listed an input."""
