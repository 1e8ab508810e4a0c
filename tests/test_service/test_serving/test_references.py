"""How an adapter is named in a call."""

import pytest

from service.errors import BodyInvalid, NotFound
from service.serving.references import Reference, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("intents", Reference("intents", "live", None)),
        ("intents@latest", Reference("intents", "latest", None)),
        ("intents:3", Reference("intents", "live", 3)),
        ("a.b_c-1@blue-green", Reference("a.b_c-1", "blue-green", None)),
        ("x" * 64, Reference("x" * 64, "live", None)),
        ("a:999999999", Reference("a", "live", 999_999_999)),
    ],
)
def test_references(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "ä", "a b", "-a", "a-", ".", "a/b", "x" * 65, "a\n"),
        *("a:", "a:0", "a:01", "a:-1", "a:x", "a:1 ", "a:1\n", "a:١", "a:1234567890"),
        *("a@", "a@B", "a@b:1", "a:1@b"),
    ],
)
def test_what_is_no_reference(text):
    with pytest.raises(BodyInvalid, match="write 'name', 'name@alias' or 'name:3'"):
        parse(text)


def test_a_long_one_is_not_repeated_whole():
    with pytest.raises(BodyInvalid) as caught:
        parse("?" * 10_000)
    assert len(caught.value.message) < 500


ALIASES = {"live": 1, "latest": 2}


class TestPick:
    @pytest.mark.parametrize(("text", "number"), [("intents", 1), ("intents@latest", 2), ("intents:2", 2)])
    def test_the_version_that_is_named(self, text, number):
        assert parse(text).pick(ALIASES, (1, 2)) == number

    def test_what_is_not_there_says_what_is(self):
        with pytest.raises(NotFound, match="no alias 'canary'; it has latest, live"):
            parse("intents@canary").pick(ALIASES, (1, 2))
        with pytest.raises(NotFound, match="no version 9; it has 1, 2"):
            parse("intents:9").pick(ALIASES, (1, 2))
