"""Published graphs answer as the heads they were made from; as many stay open as there is room for."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from adapters.columns import infer, type_rows
from adapters.encoding import Encoding
from adapters.graphs import Graph
from adapters.heads import AffineHead, RowHead
from models.errors import WeightsCorrupt
from service.serving import graphs as module
from service.serving.graphs import Graphs

NUMBERS = {"x": [1.5, 2.5, None, 80.0], "y": [0, 1, 0, -1.5]}
CATEGORIES = {"c": ["u", "v", "u", ""], "d": ["k", "k", "l", "l"]}
BOTH = NUMBERS | CATEGORIES


def fitted(cells=BOTH, classes=("a", "b", "c")):
    """A head on rows of these columns, and rows to ask it about: among them missing and unknown values."""
    schema, _ = infer(cells)
    rows, _ = type_rows(schema, cells, 4)
    encoding = Encoding.fit(schema, rows)
    rng = np.random.default_rng(0)
    k = len(classes) or 1
    affine = AffineHead(
        rng.normal(size=(k, encoding.width)).astype(np.float32), rng.normal(size=k).astype(np.float32), classes
    )
    asked = {"x": [7.0, None, -3.0], "y": [1, 2, None], "c": ["v", "unseen", ""], "d": ["l", "k", "unseen"]}
    return RowHead(schema, encoding, affine), type_rows(schema, asked, 3)[0]


def softmax(scores):
    exponentials = np.exp(scores.astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def data():
    return fitted()[0].onnx(1.0)


@pytest.fixture
def opened(monkeypatch):
    """Files in the order in which sessions were made of them."""
    real, files = module.ort.InferenceSession, []

    def slow(file, *args, **more):
        files.append(file)
        time.sleep(0.01)  # long enough for another thread to come by
        return real(file, *args, **more)

    monkeypatch.setattr(module.ort, "InferenceSession", slow)
    return files


@pytest.mark.parametrize("cells", [NUMBERS, CATEGORIES, BOTH], ids=["numbers", "categories", "both"])
class TestAnswers:
    """An input that a graph lacks would be refused by ONNX Runtime if it were fed."""

    @pytest.mark.parametrize("temperature", [1.0, 0.4])
    def test_a_classification_answers_calibrated_probabilities(self, cells, temperature):
        head, rows = fitted(cells)
        answer = Graphs().put("a", head.onnx(temperature)).run(rows)
        np.testing.assert_allclose(answer, softmax(head.scores(rows) / temperature), atol=1e-6)
        assert answer.dtype == np.float32
        assert answer.shape == (3, 3)

    def test_a_regression_answers_values(self, cells):
        head, rows = fitted(cells, classes=())
        answer = Graphs().put("a", head.onnx(1.0)).run(rows)
        np.testing.assert_allclose(answer, head.scores(rows), atol=1e-5)
        assert answer.dtype == np.float32
        assert answer.shape == (3, 1)

    def test_only_its_own_columns_are_fed(self, cells):
        inputs = {given.name for given in Graphs().put("a", fitted(cells)[0].onnx(1.0)).session.get_inputs()}
        own = {"numbers": "x" in cells, "categories": "c" in cells}
        assert inputs == {name for name, there in own.items() if there}


def test_many_threads_are_answered_alike():
    head, rows = fitted()
    graph = Graphs().put("a", head.onnx(1.0))
    expected = graph.run(rows)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: graph.run(rows), range(40)):
            np.testing.assert_array_equal(answer, expected)


def test_what_is_open_is_not_opened_again(data, opened):
    graphs = Graphs()
    assert graphs.get("a") is None
    graph = graphs.put("a", data)
    assert graphs.get("a") is graph
    assert graphs.put("a", data) is graph
    assert opened == [data]


def test_threads_that_come_at_once_open_it_once(data, opened):
    graphs, together = Graphs(), Barrier(8)

    def put(_):
        together.wait(10)
        return graphs.put("a", data)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(put, range(8)))
    assert opened == [data]
    assert all(graph is found[0] for graph in found)
    assert len(graphs) == 1


def test_a_session_runs_in_one_thread_and_keeps_no_arena(data):
    options = Graphs().put("a", data).session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert not options.enable_cpu_mem_arena


class TestRoom:
    @pytest.fixture
    def size_bytes(self, data):
        return Graphs().put("a", data).size_bytes

    def test_a_session_takes_more_than_its_file(self, data, size_bytes):
        assert size_bytes > 300_000 + len(data)
        larger = fitted(classes=tuple(map(str, range(500))))[0].onnx(1.0)
        assert Graphs().put("a", larger).size_bytes - size_bytes >= len(larger) - len(data)

    def test_the_least_recently_used_leaves_when_there_is_no_room(self, data, size_bytes):
        graphs = Graphs(2 * size_bytes)
        graphs.put("a", data)
        graphs.put("b", data)
        graphs.get("a")
        graphs.put("c", data)
        assert [key for key in "abc" if graphs.get(key)] == ["a", "c"]
        assert len(graphs) == 2

    def test_one_byte_less_is_room_for_one_less(self, data, size_bytes):
        graphs = Graphs(2 * size_bytes - 1)
        graphs.put("a", data)
        graphs.put("b", data)
        assert [key for key in "ab" if graphs.get(key)] == ["b"]

    def test_one_that_has_left_answers_whoever_still_holds_it(self, size_bytes):
        head, rows = fitted()
        graphs = Graphs(size_bytes)
        held = graphs.put("a", head.onnx(1.0))
        graphs.put("b", head.onnx(0.5))
        assert graphs.get("a") is None
        np.testing.assert_allclose(held.run(rows), softmax(head.scores(rows)), atol=1e-6)


class TestOnABackbone:
    """Graphs on embeddings, and parts of backbones."""

    def test_an_embedding_is_fed_as_it_is(self):
        affine = AffineHead(np.ones((2, 3), np.float32), np.zeros(2, np.float32), ("a", "b"))
        z = np.arange(6, dtype=np.float32).reshape(2, 3)
        for tap in ("pooled", "blocks", "vector"):
            np.testing.assert_allclose(Graphs().put("a", affine.onnx(1.0), tap).run(z), [[0.5, 0.5]] * 2)

    @pytest.mark.parametrize(
        ("tap", "names"),
        [
            ("block4", ["hidden_states"]),
            ("block12", ["hidden_states", "attention_mask"]),
            ("input", ["input_ids", "attention_mask"]),
            ("input", ["pixels"]),
            ("input", ["samples"]),
        ],
    )
    def test_of_what_is_there_a_part_takes_what_it_needs(self, tap, names):
        given = {name: np.full((2, 3), place, np.float32) for place, name in enumerate([*names, "other"], 1)}
        answer = Graphs().put("a", _graph(*names), tap).run(given)
        np.testing.assert_array_equal(answer, np.full((2, 3), sum(range(1, len(names) + 1))))

    @pytest.mark.parametrize(
        ("tap", "name"),
        [
            ("row", "embedding"),
            ("pooled", "numbers"),
            ("blocks", "hidden_states"),
            ("block4", "embedding"),
            ("input", "hidden_states"),
        ],
    )
    def test_one_that_takes_what_another_tap_gives_is_refused(self, tap, name):
        with pytest.raises(WeightsCorrupt, match=rf"takes \['{name}'\]"):
            Graphs().put("a", _graph(name), tap)

    def test_parts_of_backbones_push_out_no_others(self, data):
        graphs = Graphs(10**9, tuned_bytes=1)
        graphs.put("a", data)
        graphs.put("b", _graph("hidden_states"), "block4")
        graphs.put("c", _graph("pixels"), "input")
        assert [key for key in "abc" if graphs.get(key)] == ["a", "c"]
        assert len(graphs) == 2


def _graph(*inputs, output="probabilities"):
    """A graph that gives what it takes."""
    graph = Graph("other")
    for name in inputs:
        graph.input(name, np.float32, 3)
    graph("Sum", *inputs, name=output)
    graph.output(output, 3)
    return graph.to_bytes({})


class TestRefused:
    @pytest.mark.parametrize(
        "spoil", [lambda d: b"", lambda d: b"no graph", lambda d: d[:-1], lambda d: d[: len(d) // 2]]
    )
    def test_a_file_that_is_no_graph(self, data, spoil):
        spoilt = spoil(data)
        with pytest.raises(WeightsCorrupt, match=rf"\({len(spoilt)} bytes\) is not a graph"):
            Graphs().put("a", spoilt)

    def test_a_head_on_embeddings(self):
        affine = AffineHead(np.ones((2, 3), np.float32), np.ones(2, np.float32), ("a", "b"))
        with pytest.raises(WeightsCorrupt, match=r"takes \['embedding'\] .* expected rows of a table"):
            Graphs().put("a", affine.onnx(1.0))

    def test_a_graph_that_takes_something_more(self):
        with pytest.raises(WeightsCorrupt, match=r"takes \['more', 'numbers'\]"):
            Graphs().put("a", _graph("numbers", "more"))

    def test_a_graph_that_gives_something_else(self):
        with pytest.raises(WeightsCorrupt, match=r"gives \['scores'\]"):
            Graphs().put("a", _graph("numbers", output="scores"))

    def test_what_was_refused_is_not_held_and_holds_up_nobody(self, data):
        graphs = Graphs()
        for _ in range(2):
            with pytest.raises(WeightsCorrupt):
                graphs.put("a", b"no graph")
        assert graphs.get("a") is None
        assert len(graphs) == 0
        assert graphs.put("a", data) is graphs.get("a")
