"""What every method must do. Parametrised over the registry: a new file in adapters/methods is tested by itself."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from adapters.base import Need, Parent, Task, TaskKind
from adapters.columns import Column, Kind, Rows
from adapters.ensembles.members import Member
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.methods import METHODS, parse_method
from adapters.signatures import Signatures
from adapters.zero_shot.head import SignatureHead
from tests.contract.tiny_tuning import make_tuning_task


def make_task(counts=(8, 8, 8, 8), d=12, spread=0.35, seed=0, check=lambda: None):
    """Classes around random unit directions, whose names embed close to them."""
    rng = np.random.default_rng(seed)
    k = len(counts)
    centres = rng.standard_normal((k, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    y = np.repeat(np.arange(k), counts)
    z = centres[y] + spread * rng.standard_normal((len(y), d)) / np.sqrt(d)
    names = centres + 0.5 * rng.standard_normal((k, d)) / np.sqrt(d)
    classes = tuple(f"class {c}" for c in "zyxwvutsr"[:k])
    return Task(z.astype(np.float32), y, classes, np.arange(len(y)), names.astype(np.float32), seed=3, check=check)


def make_numbers(n=40, d=12, noise=0.1, seed=0, check=lambda: None):
    """Numbers that embeddings tell but for some noise, in a unit and from an origin of their own."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, d)) / np.sqrt(d)
    y = 500 + 20 * (z @ rng.standard_normal(d) + noise * rng.standard_normal(n))
    return Task(z.astype(np.float32), y, (), np.arange(n), seed=3, check=check)


def make_rows(n=60, seed=0, regression=False, check=lambda: None):
    """A table of two numbers, one missing at times, and a colour, all of which follow from what is asked for."""
    rng = np.random.default_rng(seed)
    y = np.linspace(-2, 2, n) if regression else np.arange(n) % 2
    hidden = y if regression else 3.0 * y - 1.5
    numbers = (hidden[:, None] + 0.4 * rng.standard_normal((n, 2))) * [1, 1000]
    numbers[rng.random(n) < 0.05, 0] = np.nan
    colours = np.array(["red", "green", "blue"], object)[np.digitize(hidden, [-1, 1])]
    schema = (
        Column("length", Kind.NUMBER, -3.0, 3.0),
        Column("weight", Kind.NUMBER, -3000.0, 3000.0),
        Column("colour", Kind.CATEGORY, categories=("red", "green", "blue")),
    )
    classes = () if regression else ("low", "high")
    return Task.of_rows(schema, Rows(numbers, colours[:, None]), y, classes, np.arange(n), seed=3, check=check)


def make_rows_of_numbers(**fields):
    return make_rows(regression=True, **fields)


def make_marks(n=60, d=12, spread=0.35, seed=0, check=lambda: None):
    """Rows with any of three classes: the sum of the classes' directions."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((3, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    marks = (np.arange(n)[:, None] >> np.arange(3)) % 2 == 1
    z = marks @ centres + spread * rng.standard_normal((n, d)) / np.sqrt(d)
    names = (centres + 0.5 * rng.standard_normal((3, d)) / np.sqrt(d)).astype(np.float32)
    return Task(z.astype(np.float32), marks, ("one", "two", "four"), np.arange(n), names, seed=3, check=check)


def make_rows_of_marks(n=60, seed=0, check=lambda: None):
    """The table of `make_rows` with two classes that go together."""
    rows = make_rows(n, seed)
    marks = np.stack([rows.y == 1, rows.y == 0], axis=1)
    return Task.of_rows(rows.schema, rows.table, marks, ("high", "low"), np.arange(n), seed=3, check=check)


SEEN, UNSEEN = 6, 3
"""Classes with rows and without them, in a described task."""


def make_described(rows=8, d=12, seen=SEEN, unseen=UNSEEN, seed=0, check=lambda: None):
    """Classes told by attributes, which embeddings show: all classes are described, the last ones have no rows.

    The classes' names embed close to their items, and they are not in the order of the alphabet.
    """
    task, held_out = make_described_and_held_out(rows, d, seen, unseen, seed)
    assert len(held_out.y) == rows * unseen
    return replace(task, check=check)


def make_described_and_held_out(rows=8, d=12, seen=SEEN, unseen=UNSEEN, seed=0):
    """The same, and beside it rows of the classes that have none."""
    rng = np.random.default_rng(seed)
    k, a = seen + unseen, 10
    values = np.where(rng.random((k, a)) < 0.5, 1.0, 0.0)
    # So few classes show few attributes: the last ones share theirs with two of those that are seen.
    for c in range(seen, k):
        first, second = rng.permutation(seen)[:2]
        values[c] = np.where(np.arange(a) < a // 2, values[first], values[second])
    centres = (values - 0.5) @ rng.standard_normal((a, d)) / np.sqrt(a)
    y = np.repeat(np.arange(k), rows)
    z = (centres[y] + 0.15 * rng.standard_normal((len(y), d)) / np.sqrt(d)).astype(np.float32)
    names = (centres + 0.15 * rng.standard_normal((k, d)) / np.sqrt(d)).astype(np.float32)
    classes = tuple(f"class {c}" for c in "zyxwvutsrqponm"[:k])
    signatures = Signatures(classes, tuple(f"attribute {i}" for i in range(a)), values.astype(np.float32))
    every = Task(z, y, classes, np.arange(len(y)), names, seed=3, signatures=signatures)
    return every.rows(y < seen), every.rows(y >= seen)


def make_members(check=lambda: None):
    """Rows of `make_task` with two published versions to average."""
    task = replace(make_task(), check=check)
    members = []
    for name in ("prototype", "ridge"):
        method = METHODS[name]()
        method = method.fallback(task)
        onnx = method.fit(make_task(seed=0)).onnx(method.default_temperature)
        given = method.model_dump(mode="json")
        members.append(Member(f"{name}:1", onnx, task.classes, given, 0, task.z.shape[1], names=task.names))
    return replace(task, members=tuple(members))


TASKS = {
    "embeddings": make_task,
    "numbers": make_numbers,
    "marks": make_marks,
    "table": make_rows,
    "table of numbers": make_rows_of_numbers,
    "table of marks": make_rows_of_marks,
}


def settings():
    """Every method with its defaults, and with class names where it can use them."""
    for method in METHODS.values():
        yield method()
        if "prior" in method.model_fields:
            yield method(prior="names")


def label(method):
    return f"{method.method}-names" if Need.NAMES in method.requirements() else method.method


def meets(method, task):
    """Whether a task has what a method cannot do without."""
    has = {Need.NAMES: task.names, Need.PARENT: task.parent, Need.TUNING: task.tuning}
    has |= {Need.SIGNATURES: task.signatures, Need.MEMBERS: task.members or None}
    return task.kind in method.tasks and all(has.get(need, True) is not None for need in method.requirements())


def by_signatures(method):
    """Whether it tells classes by their signatures, so that some may have no rows."""
    return Need.SIGNATURES in method.requirements()


def tasks_of(method):
    """Tasks to try it on, by name."""
    if Need.TUNING in method.requirements():
        return TUNING_TASKS
    if by_signatures(method):
        return {"described": make_described}
    if Need.MEMBERS in method.requirements():
        return {"members": make_members}
    # Whoever learns from no row can tell described classes by their names as well.
    return TASKS if Need.LABELS in method.requirements() else TASKS | {"described": make_described}


TUNING_TASKS = {
    "items": make_tuning_task,
    "items with numbers": partial(make_tuning_task, kind="regression"),
    "items with marks": partial(make_tuning_task, kind="multilabel"),
}
"""Tasks on the items of a backbone that can be trained, for methods that need that."""


def cases():
    """Every method on every kind of task that it can do."""
    for method in settings():
        for name, make in tasks_of(method).items():
            if meets(method, make()):
                # Exporting what torch has trained takes seconds.
                marks = pytest.mark.slow if make in TUNING_TASKS.values() else ()
                yield pytest.param((method, make), id=f"{label(method)} on {name}", marks=marks)


def heads():
    """Every method that learns from embeddings alone."""
    more = {Need.TUNING, Need.SIGNATURES, Need.MEMBERS}
    return [method for method in settings() if not more & method.requirements()]


@pytest.fixture(params=[pytest.param(m, id=label(m)) for m in heads() if TaskKind.CLASSIFICATION in m.tasks])
def method(request):
    """One that does classification."""
    return request.param


@pytest.fixture(params=[pytest.param(m, id=label(m)) for m in heads() if TaskKind.REGRESSION in m.tasks])
def regressor(request):
    """One that does regression."""
    return request.param


@pytest.fixture(params=[pytest.param(m, id=label(m)) for m in settings() if by_signatures(m)])
def zero_shot(request):
    """One that tells classes by their signatures."""
    return request.param


@pytest.fixture(params=cases())
def case(request):
    """A method, and a function that makes a task for it."""
    return request.param


@pytest.fixture(params=sorted(METHODS))
def kind(request):
    return METHODS[request.param]


def run(onnx, feed):
    """All outputs by name."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def probabilities_of(task, scores):
    """What scores mean at a temperature of one."""
    if task.multilabel:
        return 1 / (1 + np.exp(-scores))
    softmax = np.exp(scores - scores.max(axis=1, keepdims=True))
    return softmax / softmax.sum(axis=1, keepdims=True)


def test_onnx_computes_what_the_reference_computes(case):
    method, make = case
    task = make()
    head = method.fit(task)
    outputs, expected = run(head.onnx(0.7), head.feed(task)), head.scores_of(task)
    if task.regression:
        assert set(outputs) == {"value"}
        np.testing.assert_allclose(outputs["value"], expected, rtol=1e-5, atol=1e-4)
        return
    np.testing.assert_allclose(outputs["scores"], expected, atol=1e-4)
    np.testing.assert_allclose(outputs["probabilities"], probabilities_of(task, expected / 0.7), atol=1e-4)


def test_it_learns(case):
    method, make = case
    task = make()
    scores = method.fit(task).scores_of(task)
    if task.regression:
        assert scores.shape == (len(task.y), 1)
        assert np.abs(scores[:, 0] - task.y).mean() < 0.4 * np.abs(task.y - task.y.mean()).mean()
    elif task.multilabel:
        assert scores.shape == task.y.shape
        assert ((scores > 0) == task.y).mean() > 0.9
    else:
        # Whoever takes something from the scores of classes with rows, to be fair to others, is judged among them.
        among = np.where(task.absent, -np.inf, scores)
        assert (among.argmax(axis=1) == task.y).mean() > 0.9


def test_rows_that_do_not_count_change_nothing(case):
    method, make = case
    task = make()
    if task.table is not None or task.tuning is not None:
        pytest.skip("rows of embeddings are enough")
    rng = np.random.default_rng(9)
    noise = replace(task.rows(rng.permutation(len(task.y))), z=task.z)
    both = replace(
        task,
        z=np.concatenate([task.z, noise.z]),
        y=np.concatenate([task.y, noise.y]),
        groups=np.arange(2 * len(task.y)),
        weights=np.repeat([1.0, 0.0], len(task.y)),
    )
    assert agreement(task, method.fit(both).scores(task.z)) >= agreement(task, method.fit(task).scores(task.z)) - 0.05


def test_a_row_that_counts_ten_times_pulls_ten_times(case):
    """Rows with the labels of others: they win where they weigh more, and lose where they weigh less."""
    method, make = case
    task = make()
    if task.table is not None or task.tuning is not None:
        pytest.skip("rows of embeddings are enough")
    if Need.LABELS not in method.requirements():
        pytest.skip("it learns from no row")
    other = replace(task, y=np.roll(task.y, len(task.y) // 2, axis=0))
    both = replace(
        task,
        z=np.concatenate([task.z, task.z]),
        y=np.concatenate([task.y, other.y]),
        groups=np.concatenate([task.groups, task.groups]),
    )

    def right(own, others):
        weights = np.repeat([own, others], len(task.y))
        return agreement(task, method.fit(replace(both, weights=weights)).scores(task.z))

    assert right(10.0, 1.0) > right(1.0, 10.0)


def agreement(task, scores):
    """Share of the rows that scores get right; of numbers, how much of them they explain."""
    if task.regression:
        return 1 - float(((scores[:, 0] - task.y) ** 2).mean() / task.y.var())
    if task.multilabel:
        return float(((scores > 0) == task.y).mean())
    return float((scores.argmax(axis=1) == task.y).mean())


def test_a_head_that_grows_keeps_what_it_knew():
    """Two classes more, and rows of these alone: the old ones are still told apart."""
    growing = [method for method in METHODS.values() if "parent" in str(method.model_fields.get("prior", ""))]
    assert growing
    for kind in growing:
        full = make_task(counts=(12,) * 6)
        old, new = full.rows(full.y < 4), full.rows(full.y >= 4)
        first = kind().fit(replace(old, classes=full.classes[:4], names=None, y=old.y))
        parent = Parent("old:1", first.weight, first.bias, 1.0, full.classes[:4])
        grown = kind(prior="parent").fit(replace(new, names=None, parent=parent))
        assert grown.classes == full.classes
        right = grown.scores(full.z).argmax(axis=1) == full.y
        assert right[full.y < 4].mean() > 0.8
        assert right[full.y >= 4].mean() > 0.8


def test_the_same_seed_gives_the_same_bytes(case):
    method, make = case
    assert method.fit(make()).onnx(1.0) == method.fit(make()).onnx(1.0)


def test_what_a_method_cannot_do_it_refuses_and_names_those_that_can(kind):
    for make in TASKS.values():
        task = make()
        if task.kind not in kind.tasks:
            able = [name for name, other in METHODS.items() if task.kind in other.tasks]
            with pytest.raises(TaskUnsupported, match=", ".join(sorted(able))):
                kind().fit(task)


def test_the_smallest_number_of_rows_works_and_one_fewer_is_refused(regressor):
    fewest = regressor.smallest.rows
    assert np.isfinite(regressor.fit(make_numbers(fewest)).scores(make_numbers().z)).all()
    with pytest.raises(DatasetTooSmall, match=str(fewest)):
        regressor.fit(make_numbers(fewest - 1))


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_the_unit_of_numbers_does_not_matter(regressor, scale):
    task = make_numbers()
    expected = regressor.fit(task).scores(task.z)
    seen = regressor.fit(replace(task, y=scale * task.y)).scores(task.z)
    np.testing.assert_allclose(seen / scale, expected, rtol=1e-5)


def test_class_order_is_kept(method):
    task = make_task()
    order = np.array([2, 0, 3, 1])
    classes = tuple(task.classes[i] for i in order)
    shuffled = replace(task, y=np.argsort(order)[task.y], classes=classes, names=task.names[order])
    expected, seen = method.fit(task).scores(task.z), method.fit(shuffled).scores(task.z)
    assert [classes[i] for i in seen.argmax(axis=1)] == [task.classes[i] for i in expected.argmax(axis=1)]
    assert method.fit(shuffled).scores(task.z).shape == (len(task.y), 4)


def test_a_batch_of_one_equals_a_batch_of_many(case):
    method, make = case
    task = make()
    head = method.fit(task)
    singly = np.concatenate([head.scores_of(task._taken(np.array([row]))) for row in range(len(task.y))])
    np.testing.assert_allclose(singly, head.scores_of(task), rtol=1e-6, atol=1e-5)


def test_the_declared_smallest_dataset_works(method):
    task = make_task(counts=(method.smallest.rows_per_class,) * method.smallest.classes)
    scores = method.fit(task).scores(make_task().z)
    assert scores.shape == (len(make_task().y), method.smallest.classes)
    assert np.isfinite(scores).all()


def test_one_class_fewer_is_refused(method):
    task = make_task(counts=(5,) * (method.smallest.classes - 1))
    with pytest.raises(DatasetTooSmall, match=str(method.smallest.classes)):
        method.fit(task)


def test_one_row_fewer_is_refused(method):
    fewer = method.smallest.rows_per_class - 1
    if fewer < 0:
        pytest.skip("it needs no rows")
    task = make_task(counts=(5,) * (method.smallest.classes - 1) + (fewer,))
    with pytest.raises(DatasetTooSmall):
        method.fit(task)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_constant_features_stay_finite(case, value):
    method, make = case
    task = replace(make(), table=None, encoding=None)
    flat = replace(task, z=np.full_like(task.z, value))
    assert np.isfinite(method.fit(flat).scores_of(flat)).all()


def test_one_constant_feature_beside_others_stays_finite(case):
    method, make = case
    task = replace(make(), table=None, encoding=None)
    z = task.z.copy()
    z[:, 1] = 2.0
    spoiled = replace(task, z=z)
    assert np.isfinite(method.fit(spoiled).scores_of(spoiled)).all()


def test_cancel_is_respected(case):
    def stop():
        raise Cancelled("Somebody asked for it.")

    method, make = case
    with pytest.raises(Cancelled):
        method.fit(make(check=stop))


def test_parameters_survive_json(case):
    method, _ = case
    assert parse_method(json.loads(method.model_dump_json())) == method


def test_resolved_parameters_survive_json(case):
    method, make = case
    for variant in method.variants(make()):
        assert parse_method(json.loads(variant.model_dump_json())) == variant


def test_names_are_asked_for_when_they_are_needed(method):
    task = replace(make_task(), names=None)
    if Need.NAMES in method.requirements():
        with pytest.raises(RequirementMissing, match="names"):
            method.fit(task)
    else:
        assert np.isfinite(method.fit(task).scores(task.z)).all()


def test_a_class_with_a_single_example_is_predicted_and_harms_no_other(method):
    full = make_task(counts=(12, 12, 12, 12))
    kept = np.r_[0:12, 12:24, 24:36, 36:37]
    task = full.rows(kept)
    predicted = method.fit(task).scores(full.z).argmax(axis=1)
    right = predicted == full.y
    assert right[full.y == 3].mean() > 0.7
    assert right[full.y != 3].mean() >= 0.9


def test_the_paper_is_cited_and_shapes_are_given(kind):
    assert any(year in kind.source for year in map(str, range(1900, 2100)))
    assert kind.source.split(",")[0] in kind.__doc__
    words = ["Shapes: z (n, d) float32", "Cost:", "Raises:", "Source:"]
    words += ["(n, k)"] if TaskKind.CLASSIFICATION in kind.tasks else []
    words += ["(n, 1)"] if TaskKind.REGRESSION in kind.tasks else []
    for word in words:
        assert word in kind.__doc__, word


def test_every_parameter_is_described(kind):
    for name, field in kind.model_fields.items():
        assert name == "method" or field.description, name


def test_the_file_is_named_as_the_method(kind):
    import inspect

    assert kind.model_fields["method"].default == Path(inspect.getfile(kind)).stem
    assert METHODS[kind.model_fields["method"].default] is kind


def test_simplicity_is_declared_once():
    """Among those that are compared with each other on folds; others on classes set apart."""
    order = [kind.complexity for kind in METHODS.values() if Need.SIGNATURES not in kind.needs]
    assert len(set(order)) == len(order)


def test_classes_without_rows_are_told_by_their_signatures(zero_shot):
    right, chance = [], 1 / UNSEEN
    for seed in range(3):
        task, held_out = make_described_and_held_out(seed=seed)
        scores = zero_shot.fit(task).scores(held_out.z)
        assert scores.shape == (len(held_out.y), SEEN + UNSEEN)
        right.append(scores[:, SEEN:].argmax(axis=1) == held_out.y - SEEN)
    assert np.mean(right) > 1.5 * chance


def test_unseen_classes_keep_their_place(zero_shot):
    task, held_out = make_described_and_held_out()
    order = np.array([7, 2, 0, 8, 3, 1, 6, 4, 5])
    classes = tuple(task.classes[i] for i in order)
    signatures = task.signatures.of(classes)
    shuffled = replace(
        task, y=np.argsort(order)[task.y], classes=classes, names=task.names[order], signatures=signatures
    )
    head, expected = zero_shot.fit(shuffled), zero_shot.fit(task)
    assert head.classes == classes
    # What a method takes from classes with rows may depend on how classes are set apart: each side by itself.
    for among, z in ((order >= SEEN, held_out.z), (order < SEEN, task.z)):
        seen, wanted = head.scores(z)[:, among], expected.scores(z)[:, order][:, among]
        assert (seen.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9


def test_signatures_are_asked_for(zero_shot):
    with pytest.raises(RequirementMissing, match="signatures"):
        zero_shot.fit(make_task())


def test_two_seen_classes_are_enough_and_one_is_refused(zero_shot):
    task = make_described()
    assert np.isfinite(zero_shot.fit(task.rows(task.y < 2)).scores(task.z)).all()
    with pytest.raises(DatasetTooSmall, match="2"):
        zero_shot.fit(task.rows(task.y < 1))


def test_a_row_of_weight_three_is_the_row_three_times(zero_shot):
    """But for the strength of penalties: they are in units of a row of mean weight."""
    task = make_described()
    off = np.arange(len(task.y)) % 3 == 0
    # Rows that look like another class: how much they weigh decides.
    task = replace(task, z=np.where(off[:, None], np.roll(task.z, 16, axis=0), task.z))
    times = np.where(off, 3, 1)
    repeated = zero_shot.fit(task.rows(np.repeat(np.arange(len(task.y)), times)))
    weighted, plain = zero_shot.fit(replace(task, weights=times.astype(np.float64))), zero_shot.fit(task)

    def apart(head):
        return np.abs(standard(head.scores(task.z)) - standard(repeated.scores(task.z))).mean()

    assert apart(weighted) < 0.5 * apart(plain)


def standard(scores):
    """Each row's scores less their mean, all of one spread."""
    about = scores - scores.mean(axis=1, keepdims=True)
    return about / about.std()


def spoiled(task, how):
    """The task with signatures that tell little or nothing."""
    values = task.signatures.values.copy()
    if how == "a constant attribute":
        values[:, 0] = 1.0
    elif how == "an attribute that seen classes share":
        values[:SEEN, 0] = 1.0
        values[SEEN:, 0] = 0.0
    elif how == "missing cells":
        values[1, 2] = values[SEEN, 3] = np.nan
    elif how == "an attribute that no seen class has":
        values[:SEEN, 4] = np.nan
    elif how == "a class of which nothing is known":
        values[SEEN] = np.nan
    else:
        values[:] = values[0]
    return replace(task, signatures=replace(task.signatures, values=values))


@pytest.mark.parametrize(
    "how",
    [
        "a constant attribute",
        "an attribute that seen classes share",
        "missing cells",
        "an attribute that no seen class has",
        "a class of which nothing is known",
        "all rows equal",
    ],
)
def test_signatures_that_tell_little_stay_finite(zero_shot, how):
    """Where nothing tells classes apart at all, saying so is as good."""
    task = spoiled(make_described(), how)
    head = fitted_or_refusal(zero_shot, task)
    if isinstance(head, RequirementMissing):
        assert how == "all rows equal"
        assert "alike" in str(head)
        return
    assert np.isfinite(head.scores(task.z)).all()
    assert np.isfinite(run(head.onnx(1.0), head.feed(task))["probabilities"]).all()


def fitted_or_refusal(method, task):
    """The head, or what the method has against the task."""
    try:
        return method.fit(task)
    except RequirementMissing as error:
        return error


def test_other_classes_need_no_fit(zero_shot):
    """The same signatures give the same scores, in whatever order; more of them change nothing for the old ones."""
    task = make_described()
    head = zero_shot.fit(task)
    if not isinstance(head, SignatureHead):
        pytest.skip("its classes are fixed")
    expected, signatures = head.scores(task.z), task.signatures
    np.testing.assert_array_equal(head.with_signatures(signatures).scores(task.z), expected)
    turned = signatures.reordered(signatures.attributes[::-1])
    np.testing.assert_allclose(head.with_signatures(turned).scores(task.z), expected, atol=1e-5)
    fewer = head.with_signatures(signatures.of(signatures.classes[2:]))
    np.testing.assert_allclose(fewer.scores(task.z), expected[:, 2:], atol=1e-5)
    named = (*signatures.classes, "liger")
    more = replace(signatures, classes=named, values=np.concatenate([signatures.values, signatures.values[:1]]))
    assert head.with_signatures(more).classes == named
    np.testing.assert_allclose(head.with_signatures(more).scores(task.z)[:, :-1], expected, atol=1e-5)


def test_a_head_of_signatures_comes_back_from_its_file(zero_shot):
    task = make_described()
    head = zero_shot.fit(task)
    if not isinstance(head, SignatureHead):
        pytest.skip("its classes are fixed")
    again = SignatureHead.from_bytes(head.to_bytes())
    np.testing.assert_array_equal(again.scores(task.z), head.scores(task.z))
    assert again.to_bytes() == head.to_bytes()


def test_many_parameters_at_once_are_each_alone(zero_shot):
    task = make_described()
    variants = zero_shot.variants(task)
    for variant, head in zip(variants, type(zero_shot).fit_each(variants, task), strict=True):
        alone = variant.fit(task)
        # But for where an iteration that began elsewhere has ended, and the scale that this gives.
        np.testing.assert_allclose(standard(head.scores(task.z)), standard(alone.scores(task.z)), atol=0.15)
