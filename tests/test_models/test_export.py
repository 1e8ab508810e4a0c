"""A network of one layer stands for the real ones: same exporter, a second instead of a minute."""

import numpy as np
import onnx
import pytest

from models.base import AS_LONG
from models.errors import ExportFailed, ExportMismatch
from models.export import TOLERANCE, Inputs, check_parity, export_module, largest_difference
from models.session import open_session


def test_largest_difference_is_of_one_number():
    assert largest_difference(np.zeros((2, 2), np.float32), np.float32([[0, 0.5], [-0.75, 0]])) == 0.75


def test_large_numbers_are_compared_by_their_size():
    expected = np.float32([[1000, 1], [1, 1]])
    assert largest_difference(expected, expected + np.float32([[0.5, 0], [0, 0]])) == pytest.approx(0.0005)
    assert largest_difference(expected, expected + np.float32([[0, 0], [0.5, 0]])) == pytest.approx(0.5)


@pytest.mark.parametrize("seen", [np.full((1, 2), np.nan, np.float32), np.zeros((2, 1), np.float32)])
def test_another_shape_or_a_nan_is_infinitely_different(seen):
    assert largest_difference(np.zeros((1, 2), np.float32), seen) == np.inf


def test_a_network_that_gives_nan_itself_is_equal_to_nothing():
    nan = np.full((1, 2), np.nan, np.float32)
    assert largest_difference(nan, nan) == np.inf


def cases():
    rng = np.random.default_rng(0)
    return tuple(
        (rng.normal(size=(rows, length, 3)).astype(np.float32), np.ones((rows, length), np.float32))
        for rows, length in ((2, 4), (1, 1), (3, 9))
    )


INPUTS = Inputs(("states", "weights"), ("batch", "steps"), cases())


def layer(seed=0, pooled=True):
    """A layer, and the sum of its outputs over steps where `pooled`."""
    import torch

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 5)

        def forward(self, *inputs):
            states, weights = inputs
            seen = self.linear(states) * weights.unsqueeze(-1)
            return seen.sum(1) if pooled else seen

    torch.manual_seed(seed)
    return Layer().eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "pooled.onnx"
    export_module(layer(), INPUTS, "embedding_of_item", path)
    return path


def test_the_graph_of_its_own_weights_passes_and_that_of_others_does_not(exported):
    parity = check_parity(layer(), INPUTS, "embedding_of_item", exported)
    assert parity.difference < TOLERANCE
    assert parity.shape == (5,)
    with pytest.raises(ExportMismatch, match="differs from torch"):
        check_parity(layer(seed=1), INPUTS, "embedding_of_item", exported)


def test_batch_and_length_stay_free(exported):
    session = open_session(exported, threads=1)
    states, weights = np.ones((7, 31, 3), np.float32), np.ones((7, 31), np.float32)
    assert session.run(None, {"states": states, "weights": weights})[0].shape == (7, 5)


def test_what_is_as_long_as_the_item_says_so(tmp_path):
    path = tmp_path / "block1.onnx"
    export_module(layer(pooled=False), INPUTS, "hidden_states", path)
    assert check_parity(layer(pooled=False), INPUTS, "hidden_states", path).shape == (AS_LONG, 5)


def test_a_graph_that_does_not_run_on_a_case_is_not_kept(exported):
    wrong = Inputs(INPUTS.names, INPUTS.axes, ((np.ones((2, 4, 3), np.float32), np.ones((2, 3), np.float32)),))
    module = layer()
    module.forward = lambda *_: module.linear(module.linear.weight)
    with pytest.raises(ExportMismatch, match=r"does not run on inputs of shape \(2, 4, 3\), \(2, 3\)"):
        check_parity(module, wrong, "embedding_of_item", exported)


def test_one_file_without_traces_of_the_machine(exported):
    assert [path.name for path in exported.parent.iterdir()] == ["pooled.onnx"]
    content = exported.read_bytes()
    assert b"stack_trace" not in content
    assert b".py" not in content
    graph = onnx.load_from_string(content).graph
    assert [value.name for value in graph.input] == ["states", "weights"]
    assert [value.name for value in graph.output] == ["embedding_of_item"]


def test_the_same_weights_give_the_same_bytes(exported, tmp_path):
    export_module(layer(), INPUTS, "embedding_of_item", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_what_torch_cannot_export_fails_with_its_reason(tmp_path):
    module = layer()
    module.forward = lambda states, weights: states.sum() if float(states.sum()) > float(weights.sum()) else weights
    with pytest.raises(ExportFailed, match="cannot export it to ONNX: ") as caught:
        export_module(module, INPUTS, "z", tmp_path / "z.onnx")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "z.onnx").exists()
