"""Inputs, or a file of rows -> their answers."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import httpx

from graft._answers import InputWarning, PredictedFile, Prediction, Predictions
from graft._calls import Calls, Request
from graft._download import whole_file
from graft._errors import ApiError, Busy
from graft._inputs import LARGEST_CALL_BYTES, Input, as_inputs, opened, parts_of, size_of
from graft._resources import given, segment

FILE_SILENCE_S = 300.0
"""Longest silence while a file is predicted: all of it is checked before the first row is answered."""

_INPUT = re.compile(r"/inputs/(\d+)")

RowProgress = Callable[[int, int], None]


def predict(calls: Calls, ref: str, inputs: Sequence[Input], options: Mapping[str, Any]) -> Predictions:
    """See `Client.predict`; `options` without those that were left out."""
    refuse_single(inputs, f"client.predict({ref!r}, [...])")

    def call(part: Sequence[Input], start: int, first: Prediction | None) -> dict[str, Any]:
        asked = _asked(part, start, options)
        return calls.json("POST", _path(first.adapter if first else ref), repeatable=True, **asked)

    return in_parts(inputs, call, ref)


Call = Callable[[Sequence[Input], int, Prediction | None], dict[str, Any]]
"""Answers some inputs, of which the first is at a place among all; told the first answer of all, if there is one."""


def in_parts(inputs: Sequence[Input], call: Call, ref: str = "") -> Predictions:
    """Answers of several calls as one; problems count their inputs among all."""
    answers: list[Prediction] = []
    warnings: list[InputWarning] = []
    for start, part in parts_of(inputs):
        try:
            body = call(part, start, answers[0] if answers else None)
        except ApiError as error:
            if start and error.problems and not isinstance(error, Busy):
                raise _of_all(error, start) from error
            raise
        common = given({"adapter": body.get("adapter", ref) or None, "calibrated": body.get("calibrated", False)})
        answers += [Prediction.from_json(common | one) for one in body["predictions"]]
        found = [InputWarning.from_json(one) for one in body.get("warnings") or ()]
        warnings += [replace(one, inputs=tuple(start + place for place in one.inputs)) for one in found]
    return Predictions(answers, warnings)


def refuse_single(inputs: object, so: str) -> None:
    """Raises TypeError where inputs are one input, or a data frame; `so` is how to give them."""
    if isinstance(inputs, str | bytes | Path | Mapping):
        raise TypeError(f"inputs is a single one; put it in a list: {so}.")
    if hasattr(inputs, "columns"):
        raise TypeError('inputs is a data frame; give its rows: frame.to_dict("records").')


def _of_all(error: ApiError, start: int) -> ApiError:
    """A refusal of one call of several: its places counted among all inputs."""
    problems = tuple(replace(one, pointer=_moved(one.pointer, start)) for one in error.problems)
    detail = f"{error} (Input 0 of this call is input {start:,} of all.)"
    return type(error)(error.status, replace(error.details, detail=detail, problems=problems))


def _moved(pointer: str | None, start: int) -> str | None:
    match = _INPUT.match(pointer or "")
    return f"/inputs/{int(match[1]) + start}{(pointer or '')[match.end() :]}" if match else pointer


def _asked(part: Sequence[Input], start: int, options: Mapping[str, Any]) -> Request:
    """A call for some inputs: JSON, or the bytes of a single large image or sound as they are."""
    first = part[0]
    if isinstance(first, Path | bytes) and size_of(first) > LARGEST_CALL_BYTES:
        content, medium = opened(first, start)
        params = {name: option if isinstance(option, str) else json.dumps(option) for name, option in options.items()}
        return {"content": content, "params": params, "headers": {"Content-Type": medium.media_type}}
    return {"json": {"inputs": as_inputs(part, start), **options}}


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
