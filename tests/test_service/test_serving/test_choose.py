"""Which backbone a fit works with: the one that is named, or the first trained one of the modality."""

import pytest

from models.catalog import Entry
from models.errors import BackboneUnknown
from models.sources import BuiltIn, Hub
from service.errors import BodyInvalid, NotReady
from service.serving.choose import AUTO, Choice, choose, compared
from service.serving.standing import Standing


def _standing(id_, modality="image", state="ready", *, trained=True, own=False, error=None):
    entry = Entry(id_, modality, "", "", BuiltIn("x") if not trained else Hub("o/n"), trained=trained)
    return Standing(id_, None, state, entry, own=own, job="job_1" if own else None, error=error)


SCATTER = _standing("scatter", trained=False)
RESNET = _standing("resnet", state="preparing")
VIT = _standing("vit")
MINE = _standing("a-mine", own=True)
TEXT = _standing("text", "text")
ALL = [MINE, RESNET, SCATTER, TEXT, VIT]
OPERATORS = ("scatter", "vit", "text", "resnet")


@pytest.mark.parametrize(
    ("standings", "chosen"),
    [
        (ALL, "vit"),
        ([SCATTER, MINE], "a-mine"),
        ([SCATTER], "scatter"),
        ([SCATTER, RESNET], "resnet"),  # a worker hosts the operator's before it takes jobs
        ([SCATTER, _standing("b", state="preparing", own=True)], "scatter"),
        ([SCATTER, _standing("b", state="failed", own=True)], "scatter"),
    ],
)
def test_the_default_is_the_first_that_was_trained_the_operators_before_ones_own(standings, chosen):
    assert choose(standings, OPERATORS, "image", None) == Choice(chosen)


def test_an_open_choice_has_every_one_of_the_modality_the_best_guess_first():
    assert choose(ALL, OPERATORS, "image", AUTO) == Choice(AUTO, ("vit", "resnet", "a-mine", "scatter"))
    assert choose(ALL, OPERATORS, "text", AUTO) == Choice("text")


def test_a_named_one_is_taken_as_it_is():
    assert choose(ALL, OPERATORS, "image", "scatter") == Choice("scatter")


def test_a_modality_without_any_says_how_to_get_one():
    with pytest.raises(BackboneUnknown, match=r'No backbone for sounds .* POST /v1/backbones \{"id": "logmel-stats"\}'):
        choose(ALL, OPERATORS, "audio", None)
    with pytest.raises(BackboneUnknown, match="No backbone for sounds"):
        choose(ALL, OPERATORS, "audio", AUTO)


@pytest.mark.parametrize(
    ("standing", "error", "words"),
    [
        (TEXT, BodyInvalid, "takes texts, and the dataset holds images"),
        (_standing("text", state="preparing", own=True), NotReady, "still being hosted by job_1"),
        (
            _standing("text", state="failed", own=True, error={"detail": "No such revision."}),
            BodyInvalid,
            "could not be hosted: No such revision. POST",
        ),
    ],
)
def test_a_named_one_that_cannot_be_used_says_why(standing, error, words):
    with pytest.raises(error, match=words):
        choose([standing, VIT], OPERATORS, "image", "text")


def test_an_unknown_one_names_those_there_are():
    with pytest.raises(BackboneUnknown, match="no backbone 'nope' here; hosted are text, vit"):
        choose([TEXT, VIT], OPERATORS, "image", "nope")


def test_a_ranking_has_those_named_once_each_or_all():
    assert compared(ALL, OPERATORS, "image", ["vit", "scatter", "vit"]) == ("vit", "scatter")
    assert compared(ALL, OPERATORS, "image", None) == ("vit", "resnet", "a-mine", "scatter")
    with pytest.raises(BodyInvalid) as refused:
        compared(ALL, OPERATORS, "image", ["vit", "text"])
    assert [item.pointer for item in refused.value.problems] == ["/backbones/1"]
