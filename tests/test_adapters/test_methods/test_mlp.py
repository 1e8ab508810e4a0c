import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from adapters.base import Task
from adapters.heads import NetworkHead
from adapters.methods.mlp import Mlp


def steps(n=400, seed=0, regression=False):
    """What follows from the product of two numbers."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 4)).astype(np.float32)
    signal = z[:, 0] * z[:, 1] + 0.1 * rng.standard_normal(n)
    if regression:
        return Task(z, 300 + 20 * signal, (), np.arange(n))
    return Task(z, (signal > 0).astype(np.int64), ("no", "yes"), np.arange(n))


def test_it_is_as_good_as_that_of_scikit_learn():
    task, other = steps(), steps(seed=1)
    oracle = MLPClassifier(hidden_layer_sizes=(32,), solver="lbfgs", alpha=3.0, max_iter=5000, random_state=0).fit(
        task.z, task.y
    )
    head = Mlp(l2=3.0).fit(task)
    assert isinstance(head, NetworkHead)
    right = (head.scores(other.z).argmax(axis=1) == other.y).mean()
    assert right >= oracle.score(other.z, other.y) - 0.02
    assert right > 0.85


def test_numbers_are_found_as_well_as_by_that_of_scikit_learn():
    task, other = steps(regression=True), steps(seed=1, regression=True)
    standard = (task.y - task.y.mean()) / task.y.std()
    oracle = MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", alpha=3.0, max_iter=5000, random_state=0).fit(
        task.z, standard
    )
    values = Mlp(l2=3.0).fit(task).scores(other.z)[:, 0]
    explained = 1 - ((values - other.y) ** 2).mean() / other.y.var()
    assert explained >= oracle.score(other.z, (other.y - task.y.mean()) / task.y.std()) - 0.03
    assert explained > 0.9


def test_penalties_are_compared_where_rows_tell_something_of_them():
    assert [method.l2 for method in Mlp().variants(steps())] == [30.0, 10.0, 3.0]
    assert [method.l2 for method in Mlp().variants(steps(100))] == [3.0]
    assert [method.l2 for method in Mlp(l2=7.0).variants(steps())] == [7.0]
    assert Mlp().fallback(steps()).l2 == 3.0


def test_units_follow_the_classes(make_task):
    assert Mlp().variants(steps())[0].width == 32
    assert Mlp().variants(make_task(counts=(2,) * 40))[0].width == 80
    assert Mlp().variants(make_task(counts=(2,) * 90))[0].width == 128
    assert Mlp(width=5).variants(steps())[0].width == 5
    head = Mlp(width=5, l2=1.0, starts=3).fit(steps(50))
    assert (len(head.bias), head.activation) == (15, "relu")
    assert Mlp(width=5, l2=1.0, activation="gelu").fit(steps(50)).activation == "gelu"


def test_of_a_few_rows_one_network_is_fitted():
    head = Mlp().fit(steps(20))
    assert np.isfinite(head.scores(steps(20).z)).all()


def test_auto_tries_it_on_tables_of_some_hundred_rows(make_table_task):
    assert Mlp.proposals(make_table_task(n=200)) == ()
    proposed = Mlp.proposals(make_table_task(n=400))
    assert [method.l2 for method in proposed] == [30.0, 10.0, 3.0]
    assert len(Mlp.proposals(make_table_task(n=400, regression=True))) == 3


@pytest.mark.parametrize(
    ("counts", "d", "tried"),
    [((500, 500), 8, True), ((400, 400), 8, False), ((1500, 40), 8, False), ((1500, 1500), 600, False)],
)
def test_auto_tries_it_on_embeddings_only_of_many_rows_and_at_a_price(make_task, counts, d, tried):
    assert bool(Mlp.proposals(make_task(counts=counts, d=d))) == tried


def test_auto_leaves_uneven_classes_as_they_are(make_task):
    assert {method.balanced for method in Mlp.proposals(make_task(counts=(900, 100)))} == {False}
    assert {method.balanced for method in Mlp.proposals(make_task(counts=(600, 500)))} == {True}
