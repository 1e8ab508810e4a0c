from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from adapters.errors import ParameterInvalid, RequirementMissing
from adapters.low_rank import attach, layers_of
from adapters.methods.lora import Lora
from adapters.peft_files import CONFIG_NAME, TABLES_NAME, from_peft
from tests.contract.tiny_tuning import make_tuning_task

QUICK = Lora(rate=5e-3, epochs=3)


@pytest.fixture(scope="module")
def fitted():
    task = make_tuning_task(counts=(20, 20, 20, 20))
    return task, QUICK.fit(task)


def test_the_files_hold_what_was_merged(fitted):
    task, head = fitted
    trunk = task.tuning.module(None)
    tables = from_peft(head.files(), layers_of(trunk))
    assert head.course.epochs > 0
    assert max(np.abs(table).max() for table in tables.b.values()) > 0
    inputs = [torch.from_numpy(array) for array in head.feed(task).values()]
    with torch.inference_mode():
        before = trunk(*inputs).numpy()
        changed, merged = attach(trunk, tables)(*inputs).numpy(), head.scorer.trunk(*inputs).numpy()
    np.testing.assert_allclose(merged, changed, atol=1e-5)
    assert np.abs(changed - before).max() > 1e-3


def test_all_else_is_as_it_was(fitted):
    task, head = fitted
    fresh = dict(task.tuning.module(None).named_parameters())
    for name, parameter in head.scorer.trunk.named_parameters():
        changed = not torch.equal(parameter, fresh[name])
        assert changed == name.endswith(("query.weight", "value.weight")), name


def test_what_is_published_takes_the_backbones_own_inputs(fitted):
    task, head = fitted
    session = onnxruntime.InferenceSession(head.onnx(1.0), providers=["CPUExecutionProvider"])
    assert head.tap == "input"
    assert {entry.name for entry in session.get_inputs()} == {"input_ids", "attention_mask"}
    np.testing.assert_allclose(session.run(["scores"], head.feed(task))[0], head.scores_of(task), atol=1e-4)


def test_it_can_be_carried_on_with_from_its_files(fitted):
    task, head = fitted
    start = Lora(epochs=0).fit(replace(task, peft=head.files()))
    assert start.files() == head.files()
    on = QUICK.fit(replace(task, peft=head.files(), seed=5))
    # From its start, not from nothing: the changes have not been forgotten.
    first, second = (from_peft(each.files(), layers_of(task.tuning.module(None))) for each in (head, on))
    path = first.paths[0]
    assert np.corrcoef(first.a[path].ravel(), second.a[path].ravel())[0, 1] > 0.9


def test_rank_alpha_and_layers_are_those_of_the_files():
    task = make_tuning_task()
    files = Lora(rank=2, alpha=3.0, targets="all", epochs=1).fit(task).files()
    tables = from_peft(Lora(epochs=0).fit(replace(task, peft=files)).files(), layers_of(task.tuning.module(None)))
    assert (tables.rank, tables.alpha, len(tables.paths)) == (2, 3.0, 24)


def test_files_of_another_network_are_refused(fitted):
    task, head = fitted
    files = head.files() | {CONFIG_NAME: head.files()[CONFIG_NAME].replace(b'"r": 8', b'"r": 4')}
    with pytest.raises(ParameterInvalid, match="another network"):
        Lora().fit(replace(task, peft=files))
    with pytest.raises(ParameterInvalid, match=TABLES_NAME):
        Lora().fit(replace(task, peft={CONFIG_NAME: head.files()[CONFIG_NAME]}))


def convolutions(task):
    task.tuning.module = lambda k: torch.nn.Sequential(torch.nn.Conv1d(1, 1, 1))
    return task


def test_convolutions_have_nothing_to_change():
    task = convolutions(make_tuning_task())
    with pytest.raises(RequirementMissing, match="convolutions"):
        Lora().fit(task)
    assert Lora.proposals(task) == ()


def test_it_is_proposed_where_there_is_something_to_train():
    assert Lora.proposals(make_tuning_task()) == (Lora(),)
    assert Lora.proposals(make_tuning_task(counts=(12, 3))) == ()
    assert Lora.proposals(replace(make_tuning_task(), tuning=None, at=None)) == ()


def test_a_backbone_without_weights_is_refused():
    with pytest.raises(RequirementMissing, match="weights are at hand"):
        Lora().fit(replace(make_tuning_task(), tuning=None, at=None))
