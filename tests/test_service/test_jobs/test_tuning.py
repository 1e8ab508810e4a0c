"""A way into a backbone that costs nothing until a method walks it."""

from pathlib import Path

import pytest

from models.catalog import entry
from models.hosted import hosted
from models.trunks import tuning as opened
from models.warm import NO_LIMITS
from service.jobs.tuning import LazyTuning


class Open:
    """What is opened: says what it was asked."""

    depth, block_weights = 6, 1_000

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        return lambda *given, **named: self.asked.append((name, *given, *named)) or name


@pytest.fixture
def openings(monkeypatch):
    """Each opening, with what it was told."""
    seen = []

    def open_tuning(*given, **named):
        seen.append((given, named))
        return Open()

    monkeypatch.setattr(opened, "open_tuning", open_tuning)
    return seen


@pytest.fixture
def lazy(backbones_dir):
    return LazyTuning(entry("fake"), hosted(backbones_dir)["fake"], backbones_dir, ["a", "b"], 1, NO_LIMITS)


def test_what_is_known_without_it_opens_nothing(lazy, openings):
    assert len(lazy) == 2
    assert lazy.card.id == "fake"
    assert lazy.block_weights > 0
    assert openings == []


def test_it_is_opened_once_and_with_what_was_hosted(lazy, openings, backbones_dir):
    assert lazy.depth == 6
    assert lazy.block_weights == 1_000
    ((given, named),) = openings
    assert given == (lazy.entry, backbones_dir, lazy.card.digest, ["a", "b"])
    assert named == {"scratch": Path(backbones_dir), "threads": 1, "limits": NO_LIMITS}


def test_every_call_is_passed_on(lazy, openings):
    calls = {
        "tap": lazy.tap(2),
        "module": lazy.module(2),
        "bring": lazy.bring(2, on_progress=print, check=print) or "bring",
        "sizes": lazy.sizes(),
        "batch": lazy.batch(2, [0]),
        "export": lazy.export(None, 2),
    }
    assert calls == {name: name for name in calls}
    assert [name for name, *_ in lazy._open.asked] == list(calls)
    assert lazy._open.asked[2] == ("bring", 2, "on_progress", "check")
