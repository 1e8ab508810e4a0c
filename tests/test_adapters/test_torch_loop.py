from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters.base import TaskKind
from adapters.errors import Cancelled
from adapters.examples import Examples
from adapters.torch_loop import Recipe, held_out_loss, rates, scores_of, train
from adapters.tuned import scorer_of
from tests.contract.tiny_tuning import WIDTH, make_tuning_task

RECIPE = Recipe(epochs=4, rate=1e-3, head_rate=1e-2, batch=16)


def make_scorer(k=1, outputs=4, task=None):
    """Two blocks of the tiny network under a head of zeros."""
    trunk = make_tuning_task().tuning.module(k)
    return scorer_of(trunk, np.zeros((outputs, WIDTH), np.float32), np.zeros(outputs, np.float32))


def weights_of(scorer):
    return torch.cat([p.detach().flatten() for p in scorer.parameters()]).numpy()


def parted(k=1, **fields):
    """Rows to learn from, and as many others."""
    task = make_tuning_task(counts=(16, 16, 16, 16), **fields)
    odd = np.arange(64) % 2 == 1
    learned, held_out = task.split(odd)
    return Examples.of(learned, k), Examples.of(held_out, k)


def run_train(rows, recipe=RECIPE, **given):
    scorer = make_scorer(rows.k)
    return scorer, train(scorer, rows, recipe, **{"held_out": None, **given})


def test_training_lowers_the_held_out_loss_and_keeps_the_best_weights():
    rows, held_out = parted()
    scorer, course = run_train(rows, held_out=held_out)
    assert course.loss < 0.5 * course.losses[0]
    assert course.loss == min(course.losses)
    assert course.epochs == np.argmin(course.losses)
    assert held_out_loss(scores_of(scorer, held_out), held_out.task) == pytest.approx(course.loss)


def test_nothing_is_changed_where_training_only_harms():
    rows, held_out = parted()
    scorer = make_scorer()
    with torch.no_grad():
        scorer.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    start = weights_of(scorer)
    # Labels that say the contrary of what the start says.
    wrong = replace(held_out, task=replace(held_out.task, y=scores_of(scorer, held_out).argmax(axis=1)))
    course = train(scorer, rows, RECIPE, held_out=wrong)
    assert course.epochs == 0
    np.testing.assert_array_equal(weights_of(scorer), start)


def test_it_ends_when_nothing_has_got_better_for_some_epochs():
    rows, held_out = parted()
    still = replace(RECIPE, epochs=50, rate=0.0, head_rate=0.0, patience=2)
    assert len(run_train(rows, still, held_out=held_out)[1].losses) == 3


def test_it_ends_where_it_is_told_while_the_rate_goes_its_way():
    rows, _ = parted()
    seen = []
    _, course = run_train(rows, until=2, on_progress=seen.append)
    assert course.epochs == 2
    assert seen[-1] == 0.5


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    rows, _ = parted()
    other = replace(rows, task=replace(rows.task, seed=4))
    first, again, third = (weights_of(run_train(each)[0]) for each in (rows, rows, other))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, third)


def test_the_pull_keeps_weights_where_they_were():
    rows, _ = parted()
    start = weights_of(make_scorer())
    free, held = (weights_of(run_train(rows, replace(RECIPE, pull=p, head_pull=p))[0]) for p in (0.0, 100.0))
    assert np.linalg.norm(held - start) < 0.5 * np.linalg.norm(free - start)


def test_blocks_learn_more_slowly_the_farther_they_are_from_the_head():
    parameters = dict(make_scorer(3).named_parameters())
    groups = list(rates(parameters, replace(RECIPE, decay=0.5)))
    seen = {id(p): group["lr"] for group in groups for p in group["params"]}
    by_name = {name: seen[id(p)] for name, p in parameters.items()}
    found = [by_name[f"trunk.blocks.{i}.norm.weight"] for i in (1, 2, 3)]
    assert found == pytest.approx([RECIPE.rate / 4, RECIPE.rate / 2, RECIPE.rate])
    assert by_name["head.weight"] == RECIPE.head_rate


def test_only_what_requires_a_gradient_is_trained():
    rows, _ = parted()
    scorer = make_scorer()
    scorer.trunk.requires_grad_(False)
    before = {name: p.clone() for name, p in scorer.named_parameters()}
    train(scorer, rows, RECIPE, held_out=None)
    changed = {name for name, p in scorer.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_the_network_stays_as_it_serves():
    rows, held_out = parted()
    scorer, _ = run_train(rows, held_out=held_out)
    assert not any(module.training for module in scorer.modules())


def test_scores_come_in_the_order_of_the_rows():
    rows, _ = parted()
    scorer, _ = run_train(rows)
    alone = np.concatenate([scores_of(scorer, Examples.of(rows.task.rows(np.array([i])), 1)) for i in range(len(rows))])
    np.testing.assert_allclose(scores_of(scorer, rows, batch=5), alone, atol=1e-5)


def test_a_row_of_weight_two_counts_as_two():
    rows, _ = parted()
    once = rows.task.rows(np.arange(8))
    twice = once.rows(np.r_[np.arange(8), 0])
    # All rows in one batch, so that both see the same gradient at each step.
    recipe = replace(RECIPE, epochs=6, clip=1e9)
    weighted = replace(once, weights=np.r_[2.0, np.ones(7)])
    found = [weights_of(run_train(Examples.of(task, 1), recipe)[0]) for task in (weighted, twice, once)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_it_stops_when_it_is_told_to():
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled("Somebody asked for it.")

    rows, _ = parted(check=check)
    with pytest.raises(Cancelled):
        run_train(rows)
    assert len(calls) == 4


def test_the_budget_ends_it_with_the_best_so_far():
    left = iter(np.arange(10.0, -1.0, -0.5))
    rows, held_out = parted(left_s=lambda: next(left))
    scorer, course = run_train(rows, replace(RECIPE, epochs=100, patience=100), held_out=held_out)
    assert course.early
    assert 0 < course.epochs < 100
    assert held_out_loss(scores_of(scorer, held_out), held_out.task) == pytest.approx(course.loss)


def test_half_of_the_budget_can_be_kept():
    def epochs(reserve):
        left = iter(np.arange(10.0, -9.0, -0.5))
        rows, held_out = parted(left_s=lambda: next(left))
        return len(
            run_train(rows, replace(RECIPE, epochs=100, patience=100), held_out=held_out, reserve=reserve)[1].losses
        )

    assert epochs(1.0) == pytest.approx(epochs(0.0) / 2, abs=1)
    assert epochs(0.0) > 6


def narrow(scorer, most):
    """Let it run out of memory when it learns from more than so many rows."""

    def refuse(_scorer, inputs):
        if torch.is_grad_enabled() and len(inputs[0]) > most:
            raise torch.OutOfMemoryError("too much")

    scorer.register_forward_pre_hook(refuse)
    return scorer


def test_a_batch_that_does_not_fit_is_halved_and_learns_the_same():
    said = []
    rows, _ = parted(say=said.append)
    whole, _ = run_train(rows)
    pieces = narrow(make_scorer(), 5)
    train(pieces, rows, RECIPE, held_out=None)
    np.testing.assert_allclose(weights_of(pieces), weights_of(whole), atol=2e-4)
    assert len(said) == 2
    assert "4 pieces" in said[-1]


def test_a_row_that_does_not_fit_alone_is_the_callers_problem():
    rows, _ = parted()
    with pytest.raises(torch.OutOfMemoryError):
        train(narrow(make_scorer(), 0), rows, RECIPE, held_out=None)


@pytest.mark.parametrize("kind", ["regression", "multilabel"])
def test_numbers_and_several_labels_are_learned(kind):
    task = make_tuning_task(kind=kind)
    if kind == "regression":
        task = replace(task, y=(task.y - task.y.mean()) / task.y.std())
    scorer = make_scorer(outputs=max(1, len(task.classes)))
    rows = Examples.of(task, 1)
    before = held_out_loss(scores_of(scorer, rows), task)
    train(scorer, rows, replace(RECIPE, epochs=10), held_out=None)
    assert task.kind == TaskKind(kind)
    assert held_out_loss(scores_of(scorer, rows), task) < 0.6 * before


def test_scores_that_are_no_numbers_lose():
    rows, _ = parted()
    assert held_out_loss(np.full((32, 4), np.nan, np.float32), rows.task) == np.inf
