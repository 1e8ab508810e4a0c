"""Inputs, or a file of rows -> their answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import httpx

from graft._answers import InputWarning, PredictedFile, Prediction, Predictions
from graft._calls import Calls, Request
from graft._download import whole_file
from graft._inputs import Input, as_inputs
from graft._resources import given, segment

LARGEST_CALL = 1000
"""Inputs that the service takes in one call."""
FILE_SILENCE_S = 300.0
"""Longest silence while a file is predicted: all of it is checked before the first row is answered."""

RowProgress = Callable[[int, int], None]


def predict(calls: Calls, ref: str, inputs: Sequence[Input], top_k: int, long: str | None) -> Predictions:
    """See `Client.predict`."""
    if isinstance(inputs, str | Mapping):
        raise TypeError(f"inputs is a single one; put it in a list: client.predict({ref!r}, [...]).")
    if hasattr(inputs, "columns"):
        raise TypeError('inputs is a data frame; give its rows: frame.to_dict("records").')
    answers: list[Prediction] = []
    warnings: list[InputWarning] = []
    for start in range(0, len(inputs), LARGEST_CALL):
        part = as_inputs(inputs[start : start + LARGEST_CALL], start)
        asked = given({"inputs": part, "top_k": top_k, "long": long})
        body = calls.json("POST", _path(answers[0].adapter if answers else ref), repeatable=True, json=asked)
        common = {"adapter": body.get("adapter", ref), "calibrated": body.get("calibrated", False)}
        answers += [Prediction.from_json(common | one) for one in body["predictions"]]
        found = [InputWarning.from_json(one) for one in body.get("warnings") or ()]
        warnings += [replace(one, inputs=tuple(start + place for place in one.inputs)) for one in found]
    return Predictions(answers, warnings)


def predict_file(
    calls: Calls,
    ref: str,
    path: Path,
    out: Path | IO[bytes],
    *,
    filename: str,
    form: dict[str, str],
    on_progress: RowProgress | None,
) -> PredictedFile:
    """See `Client.predict_file`."""
    with path.open("rb") as file:
        request: Request = {"data": form, "files": {"file": (filename, file)}}
        with calls.download(_path(ref), read_timeout_s=FILE_SILENCE_S, **request) as response:
            if not isinstance(out, Path):
                return _received(response, out, on_progress)
            with whole_file(out) as target:
                return _received(response, target, on_progress)


def _path(ref: str) -> str:
    return f"/v1/adapters/{segment(ref)}/predict"


def _received(response: httpx.Response, target: IO[bytes], on_progress: RowProgress | None) -> PredictedFile:
    """Write an answer as it comes."""
    rows = int(response.headers.get("graft-rows", "0"))
    lines = 0
    for piece in response.iter_bytes():
        target.write(piece)
        lines += piece.count(b"\n")
        if on_progress is not None:
            on_progress(min(lines, rows), rows)
    warnings = json.loads(response.headers.get("graft-warnings", "[]"))
    return PredictedFile(response.headers.get("x-graft-adapter", ""), rows, tuple(warnings))
