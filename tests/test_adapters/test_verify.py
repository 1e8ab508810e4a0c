from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from adapters.base import Head, Task
from adapters.encoding import Encoding
from adapters.heads import AffineHead, MappedHead, NetworkHead, RowHead, affine_part, publishable, tables_bytes
from adapters.maps import FourierMap
from adapters.methods.ridge import Ridge
from adapters.verify import verify
from models.errors import ExportMismatch

HEAD = AffineHead(np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32), ("a", "b", "c"))
Z = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
TASK = Task(Z, np.arange(9) % 3, ("a", "b", "c"), np.arange(9))


def check(onnx_of=HEAD, tables_of=HEAD, onnx_temperature=0.5, tables_temperature=0.5):
    onnx, tables = onnx_of.onnx(onnx_temperature), tables_bytes(tables_of, tables_temperature)
    return verify(HEAD, 0.5, onnx=onnx, tables=tables, task=TASK)


def test_the_same_function_passes():
    assert check() < 1e-6


@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_another_function_is_refused(change):
    other = replace(HEAD, bias=np.array([0, change, 0], np.float32))
    with pytest.raises(ExportMismatch, match="ONNX"):
        check(onnx_of=other)


def test_another_table_is_refused():
    with pytest.raises(ExportMismatch, match="table"):
        check(tables_of=replace(HEAD, weight=2 * HEAD.weight))


def test_another_temperature_is_refused():
    with pytest.raises(ExportMismatch, match="probabilities"):
        check(onnx_temperature=0.6)
    with pytest.raises(ExportMismatch, match="temperature"):
        check(tables_temperature=0.6)


def value_head(scale=1.0, offset=0.0):
    weight = np.array([[1, -2, 0.5, 0]], np.float32) * np.float32(scale)
    return AffineHead(weight, np.array([offset], np.float32), ())


def check_value(head, other=None):
    other = other or head
    return verify(head, 1.0, onnx=other.onnx(1.0), tables=tables_bytes(other, 1.0), task=TASK)


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e9])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_a_value_of_any_unit_passes(scale, offset):
    assert check_value(value_head(scale, offset * scale)) < 1e-5


def test_what_a_float32_rounds_far_from_zero_is_no_difference():
    head = value_head(offset=1e6)
    assert check_value(head, replace(head, bias=np.nextafter(head.bias, np.float32(np.inf)))) < 1e-4


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_another_value_is_refused_in_any_unit(scale):
    head = value_head(scale)
    with pytest.raises(ExportMismatch, match="values of the ONNX file"):
        check_value(head, replace(head, bias=np.array([1e-2 * scale], np.float32)))


def test_a_value_that_is_always_the_same_passes():
    assert check_value(AffineHead(np.zeros((1, 4), np.float32), np.zeros(1, np.float32), ())) == 0


@pytest.fixture(params=[False, True], ids=["classes", "numbers"])
def rows(request, make_table_task):
    """A task and the head that was fitted to it."""
    task = make_table_task(regression=request.param)
    return task, RowHead(task.schema, task.encoding, Ridge(l2=1.0).fit(task))


def test_a_table_passes(rows):
    task, head = rows
    assert verify(head, 0.5, onnx=head.onnx(0.5), task=task) < 1e-5


def test_another_head_of_a_table_is_refused(rows):
    task, head = rows
    other = replace(head, head=replace(head.head, bias=head.head.bias + np.float32(0.5)))
    with pytest.raises(ExportMismatch, match="of the ONNX file differ"):
        verify(head, 0.5, onnx=other.onnx(0.5), task=task)


SPOILED = {
    "a number is missing": lambda rows: np.isnan(rows.numbers).sum(axis=1) == 1,
    "a category is missing": lambda rows: (rows.categories[:, 0] == "") & ~np.isnan(rows.numbers).all(axis=1),
    "a category is unknown": lambda rows: ~np.isin(rows.categories[:, 0], ["", "red", "blue", "green"]),
    "all is missing": lambda rows: (rows.categories[:, 0] == "") & np.isnan(rows.numbers).all(axis=1),
}


@dataclass(frozen=True)
class Differently:
    """An encoding that is another one where rows are spoiled."""

    encoding: Encoding
    spoiled: Callable

    def encode(self, rows):
        return self.encoding.encode(rows) + self.spoiled(rows)[:, None].astype(np.float32)


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED)
def test_another_answer_to_rows_that_training_did_not_show_is_refused(make_table_task, spoiled):
    task = make_table_task()
    whole = np.flatnonzero(~np.isnan(task.table.numbers).any(axis=1) & (task.table.categories[:, 0] != ""))
    task = task.rows(whole)
    head = RowHead(task.schema, task.encoding, Ridge(l2=1.0).fit(task))
    odd = replace(head, encoding=Differently(head.encoding, spoiled))
    with pytest.raises(ExportMismatch, match="on spoiled rows"):
        verify(odd, 0.5, onnx=head.onnx(0.5), task=task)


MAPPED = MappedHead(
    FourierMap.draw(4, 16, 0.25), AffineHead(np.eye(3, 16, dtype=np.float32), np.zeros(3, np.float32), ("a", "b", "c"))
)
NETWORK = NetworkHead(
    np.eye(5, 4, dtype=np.float32), np.ones(5, np.float32), "gelu", replace(HEAD, weight=np.eye(3, 5, dtype=np.float32))
)


def check_head(head, onnx_of=None, tables_of=None):
    other, affine = onnx_of or head, affine_part(tables_of or head)
    tables = None if affine is None else tables_bytes(affine, 0.5)
    return verify(head, 0.5, onnx=other.onnx(0.5), tables=tables, task=TASK)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("head", [MAPPED, NETWORK], ids=["mapped", "network"])
def test_heads_of_two_layers_pass_and_others_than_they_are_refused(head, multilabel):
    head = replace(head, head=replace(head.head, multilabel=multilabel))
    assert check_head(head) < 1e-5
    moved = replace(head, head=replace(head.head, bias=np.array([0, 1e-2, 0], np.float32)))
    with pytest.raises(ExportMismatch, match="of the ONNX file"):
        check_head(head, onnx_of=moved)
    with pytest.raises(ExportMismatch, match="probabilities of the ONNX file"):
        check_head(head, onnx_of=replace(head, head=replace(head.head, multilabel=not multilabel)))


def test_another_table_behind_a_map_is_refused():
    moved = replace(MAPPED, head=replace(MAPPED.head, bias=np.array([0, 1e-2, 0], np.float32)))
    with pytest.raises(ExportMismatch, match="scores of the serving table"):
        check_head(MAPPED, tables_of=moved)


def test_another_map_than_the_published_one_is_refused():
    @dataclass(frozen=True, eq=False)
    class Sharper(MappedHead):
        def files(self):
            return {"map.safetensors": FourierMap.draw(4, 16, 1.0).to_bytes()}

    with pytest.raises(ExportMismatch, match="scores of the serving table"):
        check_head(Sharper(MAPPED.map, MAPPED.head))


def test_what_differs_beside_the_training_rows_alone_is_refused():
    @dataclass(frozen=True, eq=False)
    class Elsewhere(MappedHead):
        def scores(self, z):
            return super().scores(z) + (~np.isin(z[:, :1], Z[:, :1])).astype(np.float32)

    with pytest.raises(ExportMismatch, match="on random embeddings"):
        check_head(Elsewhere(MAPPED.map, MAPPED.head))


@pytest.mark.parametrize("head", [MAPPED, NETWORK], ids=["mapped", "network"])
def test_heads_of_two_layers_pass_on_tables(make_table_task, head):
    task = make_table_task()
    width = task.z.shape[1]
    wide = (
        {"map": FourierMap.draw(width, 16, 0.25)} if head is MAPPED else {"weight": np.eye(5, width, dtype=np.float32)}
    )
    published = publishable(replace(head, **wide), task)
    assert verify(published, 0.5, onnx=published.onnx(0.5), task=task) < 1e-5


@dataclass(frozen=True)
class Tuned(Head):
    """A head that takes items by their place, and the ONNX file of another."""

    inputs: np.ndarray
    head: AffineHead
    off: float = 0.0

    def scores(self, z):
        raise AssertionError("it takes no embeddings")

    def scores_of(self, task):
        return self.head.scores(self.inputs[task.at]) + np.float32(self.off)

    def feed(self, task):
        return {"embedding": self.inputs[task.at]}

    def onnx(self, temperature):
        return self.head.onnx(temperature)


def test_a_head_that_takes_something_else_is_run_on_what_it_feeds():
    inputs = np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32)
    task = replace(TASK, z=np.empty((9, 0), np.float32), at=np.arange(9) * 2)
    assert verify(Tuned(inputs, HEAD), 0.5, onnx=HEAD.onnx(0.5), task=task) < 1e-6
    with pytest.raises(ExportMismatch, match="scores of the ONNX file"):
        verify(Tuned(inputs, HEAD, 0.01), 0.5, onnx=HEAD.onnx(0.5), task=task)
