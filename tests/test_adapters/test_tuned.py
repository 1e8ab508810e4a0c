import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from adapters.errors import RequirementMissing
from adapters.methods.last_k import LastK
from adapters.tuned import answering
from tests.contract.tiny_tuning import make_tuning_task

X = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], np.float32)


def doubled(output="raw", inner="probabilities", width=3):
    """A graph of scores 2·x, with names of its own inside."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], [inner]), helper.make_node("Identity", [inner], [output])],
        "doubled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    return model.SerializeToString()


def run(data, x=X):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


@pytest.mark.parametrize(("output", "inner"), [("raw", "probabilities"), ("scores", "sum"), ("sum", "scores")])
def test_scores_are_kept_and_probabilities_follow(output, inner):
    found = run(answering(doubled(output, inner), ("a", "b", "c"), 0.5))
    np.testing.assert_allclose(found["scores"], 2 * X)
    expected = np.exp(4 * X) / np.exp(4 * X).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)


def test_of_several_labels_each_has_its_own_probability():
    found = run(answering(doubled(), ("a", "b", "c"), 2.0, multilabel=True))
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-X)), rtol=1e-5)


def test_of_numbers_there_is_only_the_value():
    found = run(answering(doubled(width=1), (), 1.0), X[:, :1])
    assert set(found) == {"value"}
    np.testing.assert_allclose(found["value"], 2 * X[:, :1])


def test_the_classes_are_in_the_file_and_its_bytes_depend_on_nothing_else():
    first = answering(doubled(), ("ä", "b", "c"), 0.5)
    assert first == answering(doubled(), ("ä", "b", "c"), 0.5)
    assert first != answering(doubled(), ("ä", "b", "c"), 0.6)
    [entry] = onnx.load_from_string(first).metadata_props
    assert json.loads(entry.value) == ["ä", "b", "c"]


@pytest.fixture(scope="module")
def fitted():
    task = make_tuning_task()
    return task, LastK(k=2, epochs=2).fit(task)


def test_a_head_scores_the_rows_that_it_is_asked_about(fitted):
    task, head = fitted
    some = task.rows(np.array([40, 3, 20]))
    np.testing.assert_allclose(head.scores_of(some), head.scores_of(task)[[40, 3, 20]], atol=1e-5)


def test_it_takes_over_where_its_blocks_begin(fitted):
    task, head = fitted
    assert head.tap == "block2"
    assert list(head.feed(task)) == ["hidden_states", "attention_mask"]
    assert len(head.feed(task.rows(np.arange(5)))["hidden_states"]) == 5


def test_it_cannot_score_embeddings(fitted):
    task, head = fitted
    with pytest.raises(RequirementMissing, match="block2"):
        head.scores(task.z)


def test_rows_without_items_are_refused(fitted):
    from dataclasses import replace

    task, head = fitted
    with pytest.raises(RequirementMissing, match="name no items"):
        head.scores_of(replace(task, at=None))


def test_the_file_computes_what_the_head_does(fitted):
    task, head = fitted
    session = onnxruntime.InferenceSession(head.onnx(0.7), providers=["CPUExecutionProvider"])
    scores, probabilities = session.run(["scores", "probabilities"], head.feed(task))
    np.testing.assert_allclose(scores, head.scores_of(task), atol=1e-4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
