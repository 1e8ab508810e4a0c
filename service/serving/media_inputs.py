"""Images and sounds in the inputs of a call -> the bytes of their files.

{"image": "<base64>"}                          or {"audio": ...}, as the adapter takes
{"image": "data:image/png;base64,<base64>"}    what the address says of its type is passed over: the bytes say it
bytes                                          a body or a part of a form, as it came

Nothing is ever fetched from an address.
"""

import asyncio
import binascii
from collections.abc import Sequence
from typing import Any

from models.errors import Problem, WrongInput
from service.errors import BodyInvalid
from service.serving.facts import Facts

INLINE_CHARS = 200_000
"""Up to so much base64 is decoded where it is, in a tenth of a millisecond; more goes to a thread."""

LISTED_PROBLEMS = 20

NOUNS = {"image": "an image", "audio": "a sound"}


async def bytes_of(facts: Facts, inputs: Sequence[Any]) -> list[bytes]:
    """The file of each input of an adapter.

    Args:
        facts: Of the version that answers; it takes images or sounds.
        inputs: As they were sent.

    Raises:
        BodyInvalid: An input is not what the adapter takes; one problem for each, with its pointer.
    """
    return await files_of(facts.modality, f"{facts.name}:{facts.number}", inputs)


async def files_of(modality: str, taker: str, inputs: Sequence[Any]) -> list[bytes]:
    """The file of each input.

    Args:
        modality: ``image`` or ``audio``.
        taker: What takes them, for messages.
        inputs: As they were sent.

    Raises:
        BodyInvalid: An input is none; one problem for each, with its pointer.
    """
    if sum(_chars(item, modality) for item in inputs) > INLINE_CHARS:
        return await asyncio.to_thread(_files_of, modality, taker, inputs)
    return _files_of(modality, taker, inputs)


def pointing_into(error: WrongInput, inputs: Sequence[Any], modality: str) -> WrongInput:
    """An error of the encoder's, whose problems point at inputs, pointing at what is in them."""
    field = f"/{modality}" if isinstance(inputs[0], dict) else ""
    problems = [Problem(problem.detail, pointer=f"{problem.pointer}{field}") for problem in error.problems]
    return WrongInput(error.message, problems=problems)


def _chars(item: Any, modality: str) -> int:
    value = item.get(modality) if isinstance(item, dict) else None
    return len(value) if isinstance(value, str) else 0


def _files_of(modality: str, taker: str, inputs: Sequence[Any]) -> list[bytes]:
    found = [_file(item, modality) for item in inputs]
    wrong = {at: reason for at, reason in enumerate(found) if isinstance(reason, str)}
    if wrong:
        first = next(iter(wrong))
        more = f" (and {len(wrong) - 1} more cannot be used)" if len(wrong) > 1 else ""
        raise BodyInvalid(
            f'Input {first} {wrong[first]}{more}; {taker} takes {{"{modality}": "<base64>"}} each.',
            problems=[
                Problem(wrong[at], pointer=_pointer(at, inputs[at], modality)) for at in list(wrong)[:LISTED_PROBLEMS]
            ],
        )
    return [file for file in found if isinstance(file, bytes)]


def _pointer(at: int, item: Any, modality: str) -> str:
    return f"/inputs/{at}/{modality}" if isinstance(item, dict) and modality in item else f"/inputs/{at}"


def _file(item: Any, modality: str) -> bytes | str:
    """The bytes of one input, or why there are none."""
    if isinstance(item, bytes):
        return item
    if not isinstance(item, dict):
        return f"is not an object with {NOUNS[modality]} in it"
    if modality not in item:
        other = next((noun for name, noun in NOUNS.items() if name in item), None)
        return f"is {other}, and not {NOUNS[modality]}" if other else f"has no field {modality!r}"
    if len(item) > 1:
        other = next(name for name in item if name != modality)
        return f"has the field {other[:40]!r} beside {modality!r}, which is not known"
    value = item[modality]
    return _decoded(value) if isinstance(value, str) else "is not base64 (a JSON string)"


def _decoded(text: str) -> bytes | str:
    head = text[:100].lstrip().lower()
    if head.startswith(("http://", "https://", "file://", "ftp://", "s3://", "gs://")):
        return "is an address, and nothing is fetched from one: send the bytes of the file as base64"
    if head.startswith("data:"):
        declared, comma, text = text.partition(",")
        if not comma or not declared.lower().rstrip().endswith(";base64"):
            return "is a data: address without base64: write it as data:<type>;base64,<base64>"
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        pass
    try:  # line breaks are usual in it, as the command base64 writes it
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        return f"is not base64 ({str(error).rstrip('.')[:80]})"
