"""Whether `live` moves to a new version."""

from dataclasses import dataclass

import pytest

from service.jobs.promotion import Promotion


@dataclass
class Manifest:
    number: int
    dataset: str
    seed: int


@dataclass
class Version:
    manifest: Manifest
    metrics: dict


def _live(accuracy=0.8, log_loss=0.5, dataset="same", seed=0):
    return Version(Manifest(4, dataset, seed), {"accuracy": accuracy, "log_loss": log_loss})


def _decide(rule="auto", live=None, **metrics):
    return Promotion(rule, "same", 0, {"accuracy": 0.8, "log_loss": 0.5} | metrics).decide(live)


@pytest.mark.parametrize("rule", ["auto", "always", "never"])
def test_the_first_version_is_live_whatever_the_rule(rule):
    assert _decide(rule) == (True, "It is the first version.")


@pytest.mark.parametrize(("rule", "moves"), [("always", True), ("never", False)])
def test_a_rule_that_was_asked_for_is_followed(rule, moves):
    assert _decide(rule, _live(), log_loss=9.0, accuracy=0.0) == (moves, f"The request said promote: {rule}.")


@pytest.mark.parametrize("other", [{"dataset": "other"}, {"seed": 1}])
def test_other_held_out_items_cannot_be_compared_and_it_moves(other):
    moves, reason = _decide("auto", _live(**other), log_loss=9.0, accuracy=0.0)
    assert moves
    assert "cannot be compared" in reason


@pytest.mark.parametrize(
    ("accuracy", "log_loss", "moves"),
    [
        (0.8, 0.5, True),
        (0.8, 0.4, True),
        (0.7, 0.4, True),
        (0.9, 0.6, True),
        (0.8, 0.6, False),
        (0.7, 0.6, False),
    ],
)
def test_only_one_that_is_worse_in_both_stays_behind(accuracy, log_loss, moves):
    moved, reason = _decide("auto", _live(), accuracy=accuracy, log_loss=log_loss)
    assert moved is moves
    assert "version 4 on the same held-out items" in reason
    assert f"log loss {log_loss:.4f} against 0.5000, accuracy {accuracy:.4f} against 0.8000" in reason


@pytest.mark.parametrize(("new", "old"), [(None, 0.5), (0.5, None), (None, None)])
def test_what_was_not_measured_moves(new, old):
    assert _decide("auto", _live(log_loss=old), log_loss=new)[0] is True


def test_an_accuracy_that_was_not_measured_counts_as_none():
    assert _decide("auto", _live(accuracy=None), accuracy=None, log_loss=0.6)[0] is False
