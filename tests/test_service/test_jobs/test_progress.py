import itertools
import time

import pytest

from service.jobs import progress
from service.jobs.progress import Progress

WEIGHTS = {"embed": 1.0, "compare": 2.0, "fit": 1.0}


@pytest.fixture
def heard():
    return []


@pytest.fixture
def told(heard):
    return Progress(lambda *seen: heard.append(seen), WEIGHTS)


def test_a_stages_share_is_told_as_its_share_of_the_whole(told, heard):
    told.report("embed", 0.5)
    told.report("compare", 0.5)
    told.report("fit", 1.0)
    assert heard == [("embed", 0.125), ("compare", 0.5), ("fit", 1.0)]


def test_it_never_goes_back_and_never_beyond_the_whole(told, heard):
    told.report("compare", 0.5)
    told.report("embed", 0.1)
    told.report("fit", 7.0)
    assert [share for _, share in heard] == [0.5, 0.5, 1.0]


def test_a_beat_moves_and_stays_within_its_stage(told, heard):
    told.report("embed", 0.0)
    for _ in range(300):
        told.beat()
    shares = [share for _, share in heard]
    assert all(later > before for before, later in itertools.pairwise(shares[:51]))
    assert shares[-1] <= 0.25
    assert {stage for stage, _ in heard} == {"embed"}


def test_what_stands_still_beats_by_itself(told, heard, monkeypatch):
    monkeypatch.setattr(progress, "BEAT_S", 0.01)
    with told.beating():
        told.report("compare", 0.0)
        deadline = time.monotonic() + 5
        while len(heard) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(heard) >= 4
    after = len(heard)
    time.sleep(0.05)
    assert len(heard) == after


def test_a_stage_without_a_weight_does_not_move_it(told, heard):
    told.report("embed", 1.0)
    told.report("unheard of", 0.0)
    assert heard[-1] == ("unheard of", 0.25)
