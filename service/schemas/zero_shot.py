"""Zero-shot on the wire: labels by their words, nothing fitted."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.schemas.answers import Prediction, Warned

_TEXTS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_LABELS: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 1000},
        {"type": "object", "additionalProperties": _TEXTS},
        {"type": "null"},
    ]
}

Labels = Annotated[Any, WithJsonSchema(_LABELS)]
"""A list of labels, or an object with a description or several of each."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ExampleIn(_Request):
    """An input whose label is known."""

    input: Any
    """As in `inputs`."""
    label: str
    """One of the labels of the call."""


class ZeroShotRequest(_Request):
    """What to predict with nothing fitted (POST /v1/zero-shot)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "backbone": "minilm-l6",
                    "inputs": ["I want my money back"],
                    "labels": {"refund": "the customer wants money back", "delivery": "where is my parcel"},
                    "templates": ["a customer says: {}"],
                },
                {
                    "backbone": "siglip-b16-vision",
                    "inputs": [{"image": "<base64>"}],
                    "labels": ["tiger", "lion"],
                    "templates": ["a photo of a {}"],
                },
            ]
        }
    )

    backbone: str = Field(min_length=1)
    """Name of a hosted backbone of texts, or of the image tower of a two-tower one with its text tower hosted too."""
    inputs: list[Any] = Field(min_length=1)
    """1 to 1,000 texts, or `{"image": "<base64>"}` each."""
    labels: Labels = None
    """2 to 1,000 labels, or an object with a description, or a list of them, of each. A label without one stands for
    itself, in words: `card_arrival` as "card arrival"."""
    signatures: str | None = None
    """Instead of `labels`: the id of signatures that were made from words by this backbone."""
    templates: list[str] | None = None
    """Texts with `{}` once, into which each label or description is put; the mean of all stands for the label."""
    examples: list[ExampleIn] = []
    """2 or more inputs with their labels, on which the temperature is measured; from 20 on the probabilities count as
    calibrated."""
    top_k: int = Field(3, ge=1, le=100_000)
    """Most labels listed an input."""


class ZeroShotOut(BaseModel):
    """The answer to a call."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    backbone: str
    calibrated: bool
    """Whether enough examples were sent to measure how sure the answers are."""
    temperature: float
    """That the cosines of inputs and labels were divided by."""
    predictions: list[Prediction]
    request_id: str
    warnings: list[Warned] = []
    """Left out where there are none."""
