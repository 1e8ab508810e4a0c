"""Adapters of tables in the directory: their graphs and their columns."""

import asyncio
import dataclasses
import logging

import numpy as np
import pytest

from adapters.columns import infer, type_rows
from adapters.encoding import Encoding
from adapters.heads import AffineHead, RowHead
from adapters.manifest import FileEntry
from models.errors import GraftError
from service.registry import publishing
from service.serving.directory import Directory
from service.serving.graphs import Graphs
from service.serving.heads import HeadTable
from service.serving.references import parse

CELLS = {"age": [30.0, 40.0, None, 60.0], "town": ["Bonn", "Ulm", "Bonn", "Ulm"]}


def _head(cells):
    schema, _ = infer(cells)
    rows, _ = type_rows(schema, cells, len(next(iter(cells.values()))))
    encoding = Encoding.fit(schema, rows)
    weight = np.random.default_rng(0).normal(size=(2, encoding.width)).astype(np.float32)
    return RowHead(schema, encoding, AffineHead(weight, np.zeros(2, np.float32), ("a", "b")))


@pytest.fixture
def head():
    return _head(CELLS)


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


@pytest.fixture
def published(records, head):
    """Publishes versions of a table's adapter."""

    def publish(data=None, **more):
        blob = records.blobs.put(head.onnx(1.0) if data is None else data)
        draft = records.draft(records.running_job(adapter="leads"))
        fields = {
            "kind": "graph",
            "modality": "table",
            "backbone": "",
            "backbone_digest": "",
            "tap": "row",
            "width": head.encoding.width,
            "columns": [column.to_dict() for column in head.schema],
            "files": {"head.onnx": FileEntry(blob.digest, blob.size_bytes)},
        } | more
        tabular = dataclasses.replace(draft, manifest=lambda n: dataclasses.replace(draft.manifest(n), **fields))
        return publishing.publish(records.engine, records.home, tabular, 3.0)

    return publish


async def test_its_graph_and_its_columns_are_served(directory, published, head):
    published()
    served = await _serve(directory, "leads")
    assert served.facts.columns == head.schema
    assert (served.facts.modality, served.facts.kind) == ("table", "graph")
    rows, _ = type_rows(served.facts.columns, CELLS, 4)
    scores = np.exp(head.scores(rows))
    np.testing.assert_allclose(served.head.run(rows), scores / scores.sum(axis=1, keepdims=True), atol=1e-5)


async def test_the_columns_are_read_once_and_the_session_is_opened_once(directory, published, monkeypatch):
    published()
    first = await _serve(directory, "leads")
    monkeypatch.setattr(asyncio, "to_thread", None)
    again = await _serve(directory, "leads")
    assert (again.facts, again.head) == (first.facts, first.head)
    assert again.facts is first.facts


async def test_a_session_that_was_let_go_is_opened_again(records, heads, published):
    graphs = Graphs(limit_bytes=1)
    directory = Directory(records.engine, records.blobs, heads, graphs)
    published()
    other = _head({"height": [1.0, 2.0, 3.0]})
    published(data=other.onnx(1.0), columns=[column.to_dict() for column in other.schema])
    for reference in ("leads:1", "leads:2", "leads:1"):
        assert (await _serve(directory, reference)).facts.number == int(reference[-1])
        assert len(graphs) == 1


@pytest.mark.parametrize(
    "broken",
    [{"data": b"not a graph"}, {"files": {}}, {"columns": [{"name": "age"}]}],
    ids=["no graph", "no file", "no columns"],
)
async def test_a_broken_one_fails_alone(records, directory, published, broken, caplog):
    records.publish()
    published()
    for name in ("intents", "leads"):
        await _serve(directory, name)
    published(**broken)
    records.publish()
    with caplog.at_level(logging.ERROR, logger="service.serving.directory"):
        directory.refresh()
    assert [record.adapter for record in caplog.records] == ["leads"]
    assert (await _serve(directory)).facts.number == 2
    assert (await _serve(directory, "leads")).facts.number == 1
    with pytest.raises(GraftError):
        await _serve(directory, "leads:2")
