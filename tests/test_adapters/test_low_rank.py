import numpy as np
import pytest
import torch

from adapters.errors import RequirementMissing
from adapters.low_rank import Tables, attach, chosen, fresh, layers_of, merge, width_of
from tests.contract.tiny_tuning import WIDTH, make_tuning_task

QV = [f"layer.{i}.attention.{name}" for i in range(4) for name in ("query", "value")]


@pytest.fixture
def tuning():
    return make_tuning_task().tuning


def run(trunk, tuning):
    with torch.inference_mode():
        return trunk(*map(torch.from_numpy, tuning.batch(None, range(8)).values())).numpy()


def spoiled(layers, paths, rank=2, alpha=3.0):
    """Tables that change something."""
    tables, rng = fresh(layers, paths, rank, alpha, seed=0), np.random.default_rng(1)
    b = {path: rng.standard_normal(table.shape).astype(np.float32) for path, table in tables.b.items()}
    return Tables(rank, alpha, tables.a, b)


def test_layers_are_named_as_in_the_network(tuning):
    layers = layers_of(tuning.module(None))
    assert list(chosen(layers, "qv", "tiny")) == QV
    assert len(chosen(layers, "all", "tiny")) == 4 * 6


def test_layers_that_stand_in_another_place_keep_their_names_in_the_network():
    class Elsewhere(torch.nn.Module):
        def __init__(self, block):
            super().__init__()
            self.__dict__["held"] = block

    block = torch.nn.Sequential(torch.nn.Linear(2, 2))
    trunk = torch.nn.Module()
    trunk.blocks = torch.nn.ModuleDict({"0": block})
    trunk.network = torch.nn.ModuleDict({"encoder": Elsewhere(block)})
    assert list(layers_of(trunk)) == ["encoder.0"]


def test_layers_that_nothing_depends_on_are_left_out():
    trunk = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    weight = trunk[1].weight
    del trunk[1]._parameters["weight"]
    trunk[1].register_buffer("weight", weight.detach())
    assert list(layers_of(trunk)) == ["0"]


@pytest.mark.parametrize("targets", ["qv", "all"])
def test_a_network_without_such_layers_is_refused(targets):
    with pytest.raises(RequirementMissing, match="last_k"):
        chosen(layers_of(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3))), targets, "eye")


def test_fresh_tables_change_nothing_and_are_the_same_for_one_seed(tuning):
    trunk = tuning.module(None)
    layers = layers_of(trunk)
    tables = fresh(layers, QV, 4, 8.0, seed=1)
    again, other = fresh(layers, QV, 4, 8.0, seed=1), fresh(layers, QV, 4, 8.0, seed=2)
    before = run(trunk, tuning)
    np.testing.assert_array_equal(run(attach(trunk, tables), tuning), before)
    assert np.abs(tables.a[QV[0]]).max() <= WIDTH**-0.5
    np.testing.assert_array_equal(tables.a[QV[3]], again.a[QV[3]])
    assert not np.array_equal(tables.a[QV[3]], other.a[QV[3]])


def test_only_the_changes_are_trained(tuning):
    trunk = tuning.module(None).requires_grad_(False)
    attach(trunk, fresh(layers_of(tuning.module(None)), QV, 4, 8.0, seed=1))
    assert sum(p.requires_grad for p in trunk.parameters()) == 2 * len(QV)


def test_a_merged_network_is_plain_and_computes_the_same(tuning):
    trunk = tuning.module(None)
    names = set(trunk.state_dict())
    before = run(trunk, tuning)
    tables = spoiled(layers_of(trunk), QV)
    changed = run(attach(trunk, tables), tuning)
    kept = merge(trunk, tables)
    assert np.abs(changed - before).max() > 0.05
    np.testing.assert_allclose(run(trunk, tuning), changed, atol=1e-5)
    assert set(trunk.state_dict()) == names
    assert not [hook for module in trunk.modules() for hook in module._forward_hooks]
    for path in QV:
        np.testing.assert_array_equal(kept.b[path], tables.b[path])


def test_layers_with_transposed_weights_are_changed_alike():
    from transformers.pytorch_utils import Conv1D

    layer = Conv1D(3, 5)
    trunk = torch.nn.ModuleDict({"c_attn": layer})
    assert width_of(layer) == (5, 3)
    tables = spoiled(layers_of(trunk), chosen(layers_of(trunk), "qv", "gpt"))
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    attach(trunk, tables)
    with torch.inference_mode():
        changed = layer(x).numpy()
    merge(trunk, tables)
    with torch.inference_mode():
        np.testing.assert_allclose(layer(x).numpy(), changed, atol=1e-5)
