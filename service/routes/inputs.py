"""What is asked of the inputs of every call that predicts: not too many, none too long."""

from collections.abc import Sequence
from typing import Any

from models.errors import Problem
from service.errors import BodyInvalid
from service.settings import Settings

LISTED_PROBLEMS = 100


def check_inputs(inputs: Sequence[Any], settings: Settings, pointer: str = "/inputs/{at}") -> None:
    """Refuse inputs that are too many or too long.

    Args:
        inputs: As they were sent.
        settings: Hold the limits.
        pointer: Of one of them, with ``{at}`` for its place.

    Raises:
        BodyInvalid: They are.
    """
    whole = pointer.partition("/{at}")[0]
    if len(inputs) > settings.max_inputs:
        raise BodyInvalid(
            f"The call has {len(inputs):,} {whole[1:]}, the limit is {settings.max_inputs:,}; send them in several "
            "calls.",
            problems=[Problem(f"at most {settings.max_inputs:,} {whole[1:]}", pointer=whole)],
        )
    long = [i for i, text in enumerate(inputs) if isinstance(text, str) and len(text) > settings.max_cell_chars]
    if long:
        raise BodyInvalid(
            f"{whole[1:-1].capitalize()} {long[0]} has {len(inputs[long[0]]):,} characters, the limit is "
            f"{settings.max_cell_chars:,}; shorten it, or send its parts as inputs of their own.",
            problems=[
                Problem(f"at most {settings.max_cell_chars:,} characters", pointer=pointer.format(at=i))
                for i in long[:LISTED_PROBLEMS]
            ],
        )
