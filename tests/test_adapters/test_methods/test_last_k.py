from dataclasses import replace

import numpy as np
import pytest

from adapters.errors import ParameterInvalid, RequirementMissing
from adapters.methods.last_k import LastK
from tests.contract.tiny_tuning import make_tuning_task


def test_the_numbers_of_blocks_are_doubled_up_to_two_thirds_of_them():
    task = make_tuning_task()
    for depth, ks in ((2, [1]), (3, [1, 2]), (4, [1, 2]), (6, [1, 2, 4]), (12, [1, 2, 4, 8])):
        task.tuning.depth = depth
        assert [variant.k for variant in LastK().variants(task)] == ks
    assert LastK(k=3).variants(task) == (LastK(k=3),)


def test_without_a_number_the_best_one_is_taken():
    task = make_tuning_task(counts=(20, 20, 20, 20))
    head = LastK(rate=3e-3, epochs=4).fit(task)
    losses = {k: next(iter(LastK.fit_each([LastK(k=k, rate=3e-3, epochs=4)], task))).course.loss for k in (1, 2)}
    assert head.k == min(losses, key=losses.get)


def test_comparing_does_without_the_last_round():
    task = make_tuning_task(counts=(20, 20, 20, 20))
    method = LastK(k=1, rate=3e-3, epochs=4)
    [compared], whole = LastK.fit_each([method], task), method.fit(task)
    assert compared.course == whole.course
    assert not np.array_equal(compared.scores_of(task), whole.scores_of(task))


@pytest.mark.parametrize("k", [4, 9])
def test_more_blocks_than_there_are_cannot_be_trained(k):
    with pytest.raises(ParameterInvalid, match="has 4 block"):
        LastK(k=k).fit(make_tuning_task())


def test_a_backbone_without_weights_is_refused():
    with pytest.raises(RequirementMissing, match="weights are at hand"):
        LastK().fit(replace(make_tuning_task(), tuning=None, at=None))


def test_everything_behind_the_cut_is_trained():
    task = make_tuning_task(counts=(20, 20, 20, 20))
    head = LastK(k=2, rate=3e-3, epochs=2).fit(task)
    fresh = dict(task.tuning.module(2).named_parameters())
    assert head.course.epochs > 0
    for name, parameter in head.scorer.trunk.named_parameters():
        # The keys' bias moves all scores of a token alike, so no gradient ever reaches it.
        assert name.endswith("key.bias") or not np.array_equal(parameter, fresh[name].detach()), name


def test_it_is_proposed_where_there_is_something_to_train():
    assert LastK.proposals(make_tuning_task()) == (LastK(),)
    assert LastK.proposals(make_tuning_task(counts=(12, 3))) == ()
    assert LastK.proposals(replace(make_tuning_task(), tuning=None, at=None)) == ()
    single = make_tuning_task()
    single.tuning.depth = 1
    assert LastK.proposals(single) == ()
