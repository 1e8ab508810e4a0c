"""The labels of a call, checked: different, not empty, not too many, not too long."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import Problem
from service.errors import BodyInvalid
from service.serving.labels import described

MAX_LABELS = 1_000
MAX_DESCRIPTIONS = 100
LISTED_PROBLEMS = 100

_FORM = 'send a list of labels, or an object {"label": "a description", ...}'


def labels_of(given: Any, max_chars: int) -> dict[str, tuple[str, ...]]:
    """The texts of each label, as `Labels.embed` takes them.

    Args:
        given: As they were sent: a list of labels, or a description or a list of them by label.
        max_chars: Longest label or description.

    Raises:
        BodyInvalid: They are something else; one problem for each, with its pointer.
    """
    if not isinstance(given, list | dict):
        raise _invalid(f"'labels' is no list and no object; {_FORM}.", {"/labels": "must be a list or an object"})
    if len(given) > MAX_LABELS:
        raise _invalid(
            f"The call has {len(given):,} labels, the limit is {MAX_LABELS:,}, because each call embeds and compares "
            "them. Make signatures from them once (POST /v1/signatures) and name these in 'signatures', or make an "
            "adapter of them (POST /v1/adapters).",
            {"/labels": f"at most {MAX_LABELS:,} labels"},
        )
    wrong = _wrong_in_list(given, max_chars) if isinstance(given, list) else _wrong_in_object(given, max_chars)
    if wrong:
        pointer, reason = next(iter(wrong.items()))
        more = f" (and {len(wrong) - 1} more cannot be used)" if len(wrong) > 1 else ""
        raise _invalid(f"The label at {pointer} {reason}{more}.", wrong)
    if len(given) < 2:  # of one label every input has it
        raise _invalid(
            f"There {'are no labels' if not given else 'is 1 label, which every input would have'}; send 2 to "
            f"{MAX_LABELS:,}.",
            {"/labels": "must be 2 or more"},
        )
    return described(given)


def _wrong_in_list(given: Sequence[Any], max_chars: int) -> dict[str, str]:
    wrong: dict[str, str] = {}
    first: dict[str, int] = {}
    for at, label in enumerate(given):
        reason = _odd(label, max_chars)
        if reason is None and label in first:
            reason = f"{label[:60]!r} is the same as label {first[label]}; send it once"
        if reason is not None:
            wrong[f"/labels/{at}"] = reason
        else:
            first[label] = at
    return wrong


def _wrong_in_object(given: Mapping[str, Any], max_chars: int) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for label, own in given.items():
        pointer = f"/labels/{label[:200].replace('~', '~0').replace('/', '~1')}"
        if (reason := _odd(label, max_chars)) is not None:
            wrong[pointer] = reason
        elif not isinstance(own, list):
            if (reason := _odd(own, max_chars)) is not None:
                wrong[pointer] = f"has a description that {reason}"
        elif len(own) > MAX_DESCRIPTIONS:
            wrong[pointer] = f"has {len(own):,} descriptions, the limit is {MAX_DESCRIPTIONS}"
        else:
            odd = {at: reason for at, text in enumerate(own) if (reason := _odd(text, max_chars)) is not None}
            wrong |= {f"{pointer}/{at}": f"has a description that {reason}" for at, reason in odd.items()}
    return wrong


def _odd(text: Any, max_chars: int) -> str | None:
    """Why a label or description cannot be used."""
    if not isinstance(text, str):
        return "is no text (a JSON string)"
    if not text.strip():
        return "is empty"
    if len(text) > max_chars:
        return f"has {len(text):,} characters, the limit is {max_chars:,}"
    return None


def _invalid(detail: str, problems: Mapping[str, str]) -> BodyInvalid:
    listed = list(problems.items())[:LISTED_PROBLEMS]
    return BodyInvalid(detail, problems=[Problem(reason, pointer=pointer) for pointer, reason in listed])
