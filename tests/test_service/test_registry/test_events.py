"""Events are numbered, and a trailing window is read again."""

from sqlalchemy import text

from service.database.engine import writing
from service.registry import events
from service.registry.events import WINDOW


def _insert(engine, *seqs):
    with writing(engine) as connection:
        for seq in seqs:
            connection.execute(
                text("insert into events (seq, tenant, adapter, kind, at) values (:seq, 't', 'a', 'published', 1)"),
                {"seq": seq},
            )


def test_an_empty_list_begins_at_0(engine):
    assert events.newest(engine) == 0
    assert events.since(engine, 0) == []


def test_what_became_visible_late_is_in_the_window(engine):
    _insert(engine, 500, 502)
    assert [event.seq for event in events.since(engine, 502)] == [500, 502]
    _insert(engine, 501)
    assert [event.seq for event in events.since(engine, 502)] == [500, 501, 502]


def test_what_is_older_than_the_window_is_not_read_again(engine):
    _insert(engine, 500 - WINDOW, 500 - WINDOW + 1, 500)
    assert [event.seq for event in events.since(engine, 500)] == [500 - WINDOW + 1, 500]


def test_numbers_are_never_given_again(records):
    records.publish("a")
    last = events.newest(records.engine)
    with writing(records.engine) as connection:
        connection.execute(text("delete from events"))
    records.publish("b")
    assert events.newest(records.engine) == last + 1
