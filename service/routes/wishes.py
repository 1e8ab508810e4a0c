"""What a JSON call asks for beside labels, as the serving side takes it."""

from collections.abc import Sequence

from models.errors import Problem
from service.errors import BodyInvalid
from service.schemas.requests import OneOffClass, PredictRequest
from service.serving.details import Wishes
from service.serving.one_off import OneOff
from service.settings import Settings


def wishes_of(body: PredictRequest, settings: Settings) -> Wishes:
    """What a call asks for.

    Args:
        body: Of the call.
        settings: Hold the limit of a description.

    Raises:
        BodyInvalid: `with_own` without `classes`, or a description is too long.
    """
    if body.classes is None:
        if body.with_own:
            raise BodyInvalid(
                "'with_own' is for 'classes', and there are none; leave it out.",
                problems=[Problem("only with classes", pointer="/with_own")],
            )
        return Wishes(body.explain)
    given = [OneOff(one.name, one.attributes, one.mixture, _texts(one)) for one in body.classes]
    _check_length(given, settings.max_cell_chars)
    return Wishes(body.explain, given, body.with_own)


def _texts(one: OneOffClass) -> Sequence[str] | None:
    return [one.description] if isinstance(one.description, str) else one.description


def _check_length(given: Sequence[OneOff], max_chars: int) -> None:
    wrong = [at for at, one in enumerate(given) if any(len(text) > max_chars for text in one.description or ())]
    if wrong:
        raise BodyInvalid(
            f"The description of class {wrong[0]} has more than {max_chars:,} characters; shorten it, or send several.",
            problems=[
                Problem(f"at most {max_chars:,} characters", pointer=f"/classes/{at}/description") for at in wrong[:100]
            ],
        )
