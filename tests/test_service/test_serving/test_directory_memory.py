"""What the directory remembers of adapters: enough to answer, and little."""

import contextlib
import dataclasses
import tracemalloc

import pytest

from service.errors import NotFound
from service.registry import adapters
from service.serving.directory import Directory
from service.serving.facts import KEPT
from service.serving.heads import HeadTable
from service.serving.recent import Recent
from service.serving.references import parse


@pytest.fixture
def directory(records, tmp_path):
    heads = HeadTable(tmp_path / "serving", 2**20)
    made = Directory(records.engine, records.blobs, heads)
    made.start()
    yield made
    heads.close()


async def _serve(directory, reference="intents"):
    return await directory.serve("default", parse(reference))


def _known(directory, name="intents"):
    return directory._known.get(("default", name))


async def test_only_versions_that_are_used_are_remembered(records, directory):
    for i in range(KEPT + 4):
        records.publish(weight=float(i))
    assert (await _serve(directory)).facts.number == KEPT + 4
    assert [facts.number for facts in _known(directory).facts] == [KEPT + 4]
    assert _known(directory).numbers == tuple(range(1, KEPT + 5))
    for number in range(1, KEPT + 5):
        assert (await _serve(directory, f"intents:{number}")).head.weight[0, 0] == number - 1
    assert len(_known(directory).facts) == KEPT
    assert (await _serve(directory, "intents:1")).facts.number == 1


async def test_facts_outlive_a_change_and_those_of_deleted_versions_do_not(records, directory):
    for _ in range(2):
        records.publish(moves=False)
    kept = (await _serve(directory, "intents:2")).facts
    await _serve(directory, "intents:1")
    adapters.set_alias(records.engine, "default", "intents", "live", 2, if_match=None, now_s=9.0)
    directory.refresh()
    assert (await _serve(directory, "intents:2")).facts is kept
    adapters.remove_version(records.engine, records.home, records.blobs, "default", "intents", 1, 9.0)
    directory.refresh()
    assert _known(directory).facts == (kept,)
    assert _known(directory).numbers == (2,)
    with pytest.raises(NotFound, match="no version 1; it has 2"):
        await _serve(directory, "intents:1")


async def test_what_adapters_have_in_common_is_there_once(records, directory):
    for name in "ab":
        records.publish(name)
        await _serve(directory, name)
    one, other = _known(directory, "a"), _known(directory, "b")
    assert one.aliases is other.aliases
    assert one.numbers is other.numbers
    assert one.facts[0].classes is other.facts[0].classes


async def test_what_does_not_exist_leaves_nothing_behind(records, directory):
    records.publish()
    for reference in ["intents", *(f"nobody-{i}" for i in range(20)), "intents@canary", "intents:9"]:
        with contextlib.suppress(NotFound):
            await _serve(directory, reference)
    assert len(directory._known) == 1


async def test_the_adapters_known_are_bounded_and_one_that_was_forgotten_is_read_again(records, directory):
    directory._known = Recent(2, lambda known: 1)
    for name in "abc":
        records.publish(name)
    for name in "abca":
        assert (await _serve(directory, name)).facts.name == name
        assert len(directory._known) <= 2
    records.publish("b")
    directory.refresh()
    assert _known(directory, "b") is None
    assert (await _serve(directory, "b")).facts.number == 2


async def test_an_adapter_takes_no_more_than_it_counts_for(records, directory):
    records.publish()
    await _serve(directory)
    known = _known(directory)
    names = [(f"tenant-{i % 10}", f"adapter-{i}") for i in range(1_000)]
    tracemalloc.start()
    for key in names:
        facts = dataclasses.replace(known.facts[0], name=key[1], head=f"{hash(key) % 2**64:064x}")
        directory._note(key, dataclasses.replace(known, facts=(facts,)))
    taken_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken_bytes / 1_000 < min(1_000, known.size_bytes)
