"""What a serving process knows: new versions before old ones go, aliases as they move, nothing missed."""

import asyncio
import logging
import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from models.errors import GraftError
from service.database.engine import writing
from service.errors import NotFound
from service.registry import adapters, events
from service.serving import directory as module
from service.serving import outlines
from service.serving.directory import Directory
from service.serving.headfile import record_bytes
from service.serving.heads import HeadTable
from service.serving.references import parse


@pytest.fixture
def heads(tmp_path):
    made = HeadTable(tmp_path / "serving", 2**20)
    yield made
    made.close()


@pytest.fixture
def directory(records, heads):
    made = Directory(records.engine, records.blobs, heads)
    made.start()
    return made


async def _serve(directory, reference="intents", tenant="default"):
    return await directory.serve(tenant, parse(reference))


async def _number(directory, reference="intents"):
    return (await _serve(directory, reference)).facts.number


def _live(directory, name="intents"):
    return directory._known.get(("default", name)).aliases["live"]


def _switch(records, number, alias="live"):
    adapters.set_alias(records.engine, "default", "intents", alias, number, if_match=None, now_s=9.0)


def _event(engine, seq, name="intents"):
    with writing(engine) as connection:
        connection.execute(
            text("insert into events (seq, tenant, adapter, kind, at) values (:seq, 'default', :name, 'alias', 1)"),
            {"seq": seq, "name": name},
        )


async def test_what_was_there_before_is_read_when_it_is_asked_for(records, directory):
    records.publish(weight=5.0)
    served = await _serve(directory)
    assert (served.facts.name, served.facts.number) == ("intents", 1)
    assert served.head.weight[0, 0] == 5.0


async def test_references_follow_their_aliases(records, directory):
    records.publish(weight=1.0)
    records.publish(weight=2.0, moves=False)
    assert [await _number(directory, ref) for ref in ("intents", "intents@latest", "intents:2", "intents:1")] == [
        1,
        2,
        2,
        1,
    ]
    _switch(records, 2)
    directory.refresh()
    assert await _number(directory) == 2


async def test_a_new_version_is_prepared_before_it_replaces_the_old_one(records, heads, caplog):
    prepared, broken = [], False

    def prepare(facts):
        prepared.append((facts.number, _live(directory)))
        if broken:
            raise NotFound("its backbone is not here")

    directory = Directory(records.engine, records.blobs, heads, prepare=prepare)
    directory.start()
    records.publish()
    assert await _number(directory) == 1
    assert prepared == []
    records.publish()
    directory.refresh()
    assert prepared == [(2, 1)]
    assert await _number(directory) == 2
    broken = True
    records.publish()
    with caplog.at_level(logging.ERROR, logger="service.serving.directory"):
        directory.refresh()
    assert [record.adapter for record in caplog.records] == ["intents"]
    assert await _number(directory) == 2


async def test_a_new_version_is_loaded_before_it_replaces_the_old_one(records, directory, monkeypatch):
    records.publish(weight=1.0)
    await _serve(directory)
    records.publish(weight=2.0)
    seen = []
    real = directory._load

    def load(facts):
        seen.append((facts.number, _live(directory)))
        return real(facts)

    monkeypatch.setattr(directory, "_load", load)
    directory.refresh()
    assert seen == [(2, 1)]
    assert (await _serve(directory)).head.weight[0, 0] == 2.0
    assert seen == [(2, 1)]


async def test_an_adapter_that_nobody_asked_for_is_not_loaded(records, directory, heads):
    records.publish()
    directory.refresh()
    assert len(heads) == 0


async def test_what_was_made_in_this_very_moment_is_found(records, directory):
    records.publish()
    await _serve(directory)
    records.publish(moves=False)
    _switch(records, 2, "canary")
    assert await _number(directory, "intents:2") == 2
    _switch(records, 1, "blue")
    assert await _number(directory, "intents@blue") == 1


async def test_what_is_not_there_is_not_found(records, directory):
    records.publish()
    for reference in ("nobody", "intents:2", "intents@canary"):
        with pytest.raises(NotFound):
            await _serve(directory, reference)
    with pytest.raises(NotFound):
        await _serve(directory, tenant="other")


async def test_a_deleted_adapter_is_gone_after_the_refresh(records, directory):
    records.publish()
    await _serve(directory)
    adapters.remove_version(records.engine, records.home, records.blobs, "default", "intents", 1, 9.0)
    directory.refresh()
    with pytest.raises(NotFound):
        await _serve(directory)


async def test_a_head_that_was_let_go_is_read_again(records, tmp_path):
    heads = HeadTable(tmp_path / "serving", 2 * (4096 + record_bytes(2, 3)))
    directory = Directory(records.engine, records.blobs, heads)
    directory.start()
    for i, name in enumerate("ab"):
        records.publish(name, weight=float(i))
    served = [(name, await _serve(directory, name)) for name in "abab"]
    for name, each in served:
        assert each.head.weight[0, 0] == float("ab".index(name))
    assert len(heads) == 1
    heads.close()


async def test_an_event_that_becomes_visible_late_is_not_missed(records, directory):
    records.publish()
    records.publish(moves=False)
    await _serve(directory)
    _event(records.engine, 50)
    directory.refresh()
    with writing(records.engine) as connection:
        connection.execute(text("update aliases set version = 2 where alias = 'live'"))
    _event(records.engine, 49)
    directory.refresh()
    assert _live(directory) == 2


@pytest.fixture
def reads(monkeypatch):
    """Names of the adapters that are read, as they are."""
    names, real = [], outlines.outline
    monkeypatch.setattr(outlines, "outline", lambda *given: names.append(given[2]) or real(*given))
    return names


async def test_events_that_were_seen_are_not_read_again(records, directory, reads):
    records.publish()
    await _serve(directory)
    directory.refresh()
    reads.clear()
    for _ in range(3):
        directory.refresh()
    assert reads == []
    _switch(records, 1)
    _switch(records, 1)
    directory.refresh()
    assert reads == ["intents"]


async def test_what_is_held_is_answered_in_the_loop_itself(records, directory, reads, monkeypatch):
    records.publish()
    await _serve(directory)
    reads.clear()
    monkeypatch.setattr(asyncio, "to_thread", None)
    call = _serve(directory)
    with pytest.raises(StopIteration):  # it never waits
        call.send(None)
    assert reads == []


async def test_many_first_calls_at_once_read_the_adapter_once(records, directory, reads, monkeypatch):
    records.publish()
    read = outlines.outline
    monkeypatch.setattr(outlines, "outline", lambda *given: time.sleep(0.1) or read(*given))
    served = await asyncio.gather(*(_serve(directory) for _ in range(20)))
    assert {each.facts.number for each in served} == {1}
    assert reads == ["intents"]


async def test_memory_of_seen_events_is_bounded(records, directory):
    for start in range(1, 1_000, 50):
        for seq in range(start, start + 50):
            _event(records.engine, seq, "x")
        directory.refresh()
    assert len(directory._seen) <= events.WINDOW


async def test_a_version_published_while_the_adapter_is_read_for_the_first_time_is_not_missed(
    records, directory, monkeypatch
):
    """The follower must not pass over an adapter that another thread has read but not noted yet."""
    records.publish()
    real, refreshers = outlines.outline, []

    def outline(engine, tenant, name):
        found = real(engine, tenant, name)
        if not refreshers:
            records.publish()
            refreshers.append(threading.Thread(target=directory.refresh))
            refreshers[0].start()
            refreshers[0].join(0.5)
        return found

    monkeypatch.setattr(outlines, "outline", outline)
    await _serve(directory)
    refreshers[0].join(10)
    directory.refresh()
    assert await _number(directory) == 2


@pytest.mark.parametrize("damage", ["corrupt", "missing", "unreadable"])
async def test_a_broken_version_holds_up_nobody_else_and_the_old_one_goes_on(records, directory, caplog, damage):
    for name in ("broken", "other"):
        records.publish(name, weight=1.0)
        await _serve(directory, name)
    records.publish("broken", weight=2.0)
    records.publish("other", weight=3.0)
    digest = adapters.get(records.engine, "default", "broken").versions[2].manifest.files["head.safetensors"].sha256
    if damage == "corrupt":
        records.blobs.path(digest).write_bytes(b"other bytes")
    else:
        records.blobs.delete(digest)
    if damage == "unreadable":
        records.blobs.path(digest).mkdir()
    with caplog.at_level(logging.ERROR, logger="service.serving.directory"):
        directory.refresh()
    assert [record.adapter for record in caplog.records] == ["broken"]
    assert await _number(directory, "other") == 2
    assert await _number(directory, "broken") == 1
    with pytest.raises(OSError if damage == "unreadable" else GraftError):
        await _serve(directory, "broken:2")
    caplog.clear()
    directory.refresh()
    assert caplog.records == []


async def test_following_goes_on_when_the_database_was_away(records, directory, monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.005)
    records.publish()
    await _serve(directory)
    real, failures = events.since, []

    def since(*args):
        if len(failures) < 2:
            failures.append(args)
            raise OSError("away")
        return real(*args)

    monkeypatch.setattr(module.events, "since", since)
    following = asyncio.create_task(directory.follow())
    records.publish()
    while _live(directory) != 2:
        await asyncio.sleep(0.01)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert len(failures) == 2


async def test_an_event_is_read_again_when_the_database_went_away_in_between(records, directory, monkeypatch):
    records.publish()
    await _serve(directory)
    records.publish()

    def away(*_):
        raise OperationalError("select", {}, OSError("away"))

    monkeypatch.setattr(outlines, "outline", away)
    with pytest.raises(OperationalError):
        directory.refresh()
    monkeypatch.undo()
    directory.refresh()
    assert _live(directory) == 2


class TestEvents:
    async def test_every_event_is_told_once_of_every_kind(self, records, heads):
        told = []
        directory = Directory(records.engine, records.blobs, heads, on_event=told.append)
        records.publish()
        directory.start()
        records.publish("other")
        with writing(records.engine) as connection:
            adapters.announce(connection, "acme", "", "keys", 9.0)
        for _ in range(2):
            directory.refresh()
        assert [(event.tenant, event.adapter, event.kind) for event in told] == [
            ("default", "other", "published"),
            ("acme", "", "keys"),
        ]

    async def test_it_is_told_after_the_directory_has_followed_and_again_when_it_was_not_taken(self, records, heads):
        seen = []

        def notice(event):
            seen.append(_live(directory))
            if len(seen) == 1:
                raise OSError("not now")

        directory = Directory(records.engine, records.blobs, heads, on_event=notice)
        directory.start()
        records.publish()
        await _serve(directory)
        records.publish()
        with pytest.raises(OSError, match="not now"):
            directory.refresh()
        assert await _number(directory) == 2
        directory.refresh()
        assert seen[:2] == [2, 2]
        told = len(seen)
        directory.refresh()
        assert len(seen) == told
