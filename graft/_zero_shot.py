"""Inputs and labels -> their answers, with nothing fitted."""

from collections.abc import Mapping, Sequence
from typing import Any

from graft._answers import Prediction, Predictions
from graft._calls import Calls
from graft._inputs import Input, as_inputs
from graft._predicting import in_parts, refuse_single
from graft._signatures import Descriptions, Signatures, told


def zero_shot(
    calls: Calls,
    backbone: str,
    inputs: Sequence[Input],
    labels: Descriptions | str | Signatures,
    examples: Sequence[tuple[Input, str]] | None,
    options: Mapping[str, Any],
) -> Predictions:
    """See `Client.zero_shot`; `options` without those that were left out."""
    refuse_single(inputs, "client.zero_shot(backbone, [...], labels)")
    asked = {"backbone": backbone, **_classes(labels), **options}
    if examples:
        texts, names = zip(*examples, strict=True)
        pairs = zip(as_inputs(texts), names, strict=True)
        asked["examples"] = [{"input": item, "label": label} for item, label in pairs]

    def call(part: Sequence[Input], start: int, _: Prediction | None) -> dict[str, Any]:
        body = asked | {"inputs": as_inputs(part, start)}
        return calls.json("POST", "/v1/zero-shot", repeatable=True, json=body)

    return in_parts(inputs, call)


def _classes(labels: Descriptions | str | Signatures) -> dict[str, Any]:
    if isinstance(labels, Signatures):
        return {"signatures": labels.id}
    if isinstance(labels, str):
        if not labels.startswith("sig_"):
            raise TypeError(
                f"labels is a single text, {labels[:80]!r}; give a list of labels, or the id of signatures."
            )
        return {"signatures": labels}
    return {"labels": told(labels)}
