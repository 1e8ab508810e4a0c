from dataclasses import replace

import pytest

from adapters.adaptation import Stages, ended_early, noting
from adapters.errors import Cancelled


def test_what_is_said_is_heard_on_both_sides(make_task):
    outside = []
    task, notes = noting(replace(make_task(), say=outside.append))
    task.say("one")
    task.say("two")
    assert notes == outside == ["one", "two"]


def test_the_sentence_says_what_the_time_ended():
    assert "nothing here was chosen" in ended_early(0, 3, comparing=True)
    assert "2 candidate(s) count, 3 do not" in ended_early(2, 3, comparing=True)
    assert "the last fit" in ended_early(2, 0, comparing=False)


def test_a_stage_tells_where_it_is_and_how_long_it_took(make_task):
    heard, clock = [], iter([10.0, 12.5])
    stages = Stages(make_task(), lambda name, share: heard.append((name, share)), lambda: next(clock))
    with stages.run("fit") as on_progress:
        on_progress(0.5)
    assert heard == [("fit", 0.0), ("fit", 0.5), ("fit", 1.0)]
    assert stages.seconds == {"fit": 2.5}


def test_no_stage_begins_where_it_was_cancelled(make_task):
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled), Stages(replace(make_task(), check=stop), lambda *_: None, lambda: 0.0).run("fit"):
        pytest.fail("it began")
