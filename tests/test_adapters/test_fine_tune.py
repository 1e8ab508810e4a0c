from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters import fine_tune as module
from adapters.comparison import losses
from adapters.errors import Cancelled
from adapters.fine_tune import Order, affordable, epochs_for, fine_tune
from adapters.methods import parse_method
from adapters.torch_loop import Recipe
from tests.contract.tiny_tuning import make_tuning_task


def make_order(k=1, **fields):
    given = {"epochs": 3, "rate": 1e-3, "patience": 3}
    recipe = Recipe(**{**given, **{name: fields.pop(name) for name in list(fields) if name in given}})
    return Order("toy", k, recipe, lambda trunk: trunk.requires_grad_(), **fields)


def accuracy(head, task):
    return (head.scores_of(task).argmax(axis=1) == task.y).mean()


def weights_of(head):
    return torch.cat([p.flatten() for p in head.scorer.parameters()]).numpy()


def test_no_epoch_at_all_is_the_frozen_head():
    task = make_tuning_task()
    head = fine_tune(task, [make_order(epochs=0)])
    frozen = parse_method("logistic").fit(replace(task, tuning=None, at=None))
    np.testing.assert_allclose(head.scores_of(task), frozen.scores(task.z), atol=1e-3)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_it_is_better_than_the_frozen_head_on_rows_that_it_has_not_seen(kind):
    task = make_tuning_task(counts=(40, 40, 40, 40), kind=kind)
    learned, unseen = task.split(np.arange(160) % 4 == 0)

    def loss(epochs):
        scores = fine_tune(learned, [make_order(2, epochs=epochs, rate=3e-3)]).scores_of(unseen)
        return losses(scores, unseen.y, None)[0].mean()

    assert loss(8) < 0.9 * loss(0)


def test_the_head_starts_from_what_the_blocks_compute_where_the_task_holds_something_else():
    task = make_tuning_task()
    other = replace(task, z=np.ones((48, 3), np.float32))
    heads = [fine_tune(each, [make_order(epochs=0)]) for each in (task, other)]
    np.testing.assert_allclose(heads[0].scores_of(task), heads[1].scores_of(task), atol=1e-3)


def test_of_several_orders_the_one_with_the_lowest_held_out_loss_is_kept():
    task = make_tuning_task(counts=(40, 40, 40, 40))
    lazy, eager = make_order(1, epochs=0), make_order(3, rate=3e-3, epochs=8)
    assert fine_tune(task, [lazy, eager]).k == 3
    assert fine_tune(task, [eager, lazy]).k == 3
    # Of two that do as well, the first, which is simpler.
    assert fine_tune(task, [make_order(2, epochs=0), lazy]).k == 2


def test_in_the_end_all_rows_are_learned_from():
    task = make_tuning_task(counts=(6, 6, 6, 6))
    whole, most = (fine_tune(task, [make_order(rate=3e-3, epochs=8, whole=w)]) for w in (True, False))
    assert whole.course.epochs == most.course.epochs > 0
    assert not np.allclose(weights_of(whole), weights_of(most))


def test_rows_that_weigh_nothing_might_as_well_not_be_there():
    task = make_tuning_task()
    there = np.arange(48) % 3 > 0
    spoiled = replace(task, weights=there.astype(float), y=np.where(there, task.y, 0))
    np.testing.assert_array_equal(
        weights_of(fine_tune(spoiled, [make_order()])),
        weights_of(fine_tune(replace(task, weights=np.ones(48)).rows(there), [make_order()])),
    )


def test_the_unit_of_numbers_does_not_matter():
    task = make_tuning_task(kind="regression")
    first = fine_tune(task, [make_order()]).scores_of(task)
    second = fine_tune(replace(task, y=1e9 * task.y), [make_order()]).scores_of(task)
    np.testing.assert_allclose(second / 1e9, first, rtol=1e-5)


def test_rows_of_too_few_groups_are_learned_from_without_looking():
    task = make_tuning_task(counts=(6, 6))
    head = fine_tune(replace(task, groups=task.y), [make_order(epochs=8)])
    assert head.course.losses == ()
    assert head.course.epochs == 2


def test_what_is_finished_is_kept_beside():
    seen = []

    def finish(trunk):
        seen.append(trunk)
        return {"notes.txt": b"x"}

    head = fine_tune(make_tuning_task(), [make_order(finish=finish)])
    assert head.files() == {"notes.txt": b"x"}
    assert seen == [head.scorer.trunk]


def test_blocks_are_brought_once_and_nothing_is_left_to_be_trained():
    task = make_tuning_task()
    head = fine_tune(task, [make_order(2)])
    assert task.tuning.brought == [2]
    assert not any(p.requires_grad for p in head.scorer.parameters())


def test_it_can_be_stopped_at_any_time():
    calls = []

    def check(after):
        calls.append(1)
        if len(calls) > after:
            raise Cancelled("Somebody asked for it.")

    for after in (0, 1, 5, 12):
        calls.clear()
        with pytest.raises(Cancelled):
            fine_tune(make_tuning_task(check=lambda after=after: check(after)), [make_order()])


def timed(seconds, **fields):
    """A task on which every batch takes a second, and what is said of it."""
    said, asked = [], []
    task = make_tuning_task(left_s=lambda: seconds - len(asked), say=said.append, **fields)
    batch = task.tuning.batch
    task.tuning.batch = lambda k, at: asked.append(k) or batch(k, at)
    return task, said


def test_where_the_time_is_over_the_best_so_far_is_used_and_that_is_said():
    task, said = timed(4.0)
    head = fine_tune(task, [make_order(epochs=50)])
    assert head.course.early
    assert [sentence for sentence in said if "toy: the time was over before training was" in sentence]
    assert accuracy(head, task) > 0.5


def test_time_is_kept_for_all_rows():
    task, said = timed(40.0, counts=(40, 40, 40, 40), kind="multilabel")
    head = fine_tune(task, [make_order(2, epochs=50, rate=3e-3, patience=50)])
    assert head.course.early
    assert head.course.epochs > 0
    assert len([sentence for sentence in said if sentence.startswith("toy")]) == 1
    assert 0 < task.left_s() < 20


def test_without_any_time_it_is_the_frozen_head():
    task = make_tuning_task(left_s=lambda: 0.0)
    head = fine_tune(task, [make_order(epochs=50)])
    assert head.course.epochs == 0
    assert accuracy(head, task) > 0.8


def test_a_gpu_with_too_little_memory_leaves_it_to_the_cpu(monkeypatch):
    devices, said = [], []
    search = module._search

    def refuse(task, inside, order, device):
        devices.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError("too much")
        return search(task, inside, order, device)

    monkeypatch.setattr(module, "_search", refuse)
    task = make_tuning_task(device="cuda", say=said.append)
    head = fine_tune(task, [make_order(whole=False)])
    assert devices == ["cuda", "cpu"]
    assert "trained on the CPU" in said[0]
    np.testing.assert_array_equal(
        weights_of(head), weights_of(fine_tune(make_tuning_task(), [make_order(whole=False)]))
    )


@pytest.mark.parametrize(("rows", "epochs"), [(10, 20), (960, 20), (6400, 4), (3200, 6), (10**6, 4)])
def test_many_rows_need_few_epochs(rows, epochs):
    assert epochs_for(rows, 32) == epochs


@pytest.mark.parametrize(
    ("fields", "able"),
    [
        ({}, True),
        ({"counts": (12, 12, 12, 7)}, False),
        ({"left_s": lambda: 1e-3}, False),
        ({"kind": "regression"}, True),
        ({"kind": "regression", "counts": (5, 5)}, False),
        ({"kind": "multilabel"}, True),
    ],
)
def test_it_is_worth_a_try_only_with_rows_and_time_enough(fields, able):
    assert affordable(make_tuning_task(**fields), 1, 2, 8) is able


def test_without_a_way_into_the_backbone_it_is_never_worth_a_try():
    assert not affordable(replace(make_tuning_task(), tuning=None), 1, 2, 8)


def test_numbers_are_standardised_as_the_rows_weigh():
    task = make_tuning_task(kind="regression")
    weights = np.where(np.arange(len(task.y)) % 3, 1.0, 3.0)
    copies = task.rows(np.repeat(np.arange(len(task.y)), weights.astype(int)))
    weighed, copied = module._learnable(replace(task, weights=weights)), module._learnable(copies)
    assert weighed[1:] == pytest.approx(copied[1:])
