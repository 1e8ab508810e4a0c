"""Inputs of every modality, brought to the tap; what cannot be is pointed at."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.columns import Rows, infer
from service.errors import BodyInvalid, NotReady
from service.serving.facts import BackboneTap
from service.serving.taps import LISTED_PROBLEMS, Taps

SCHEMA, _ = infer({"age": [20, 31, 40.5, 55], "member": [True, False, True, True], "plan": ["a", "b", "a", "b"]})


def facts(modality, **more):
    return SimpleNamespace(
        **{"name": "x", "number": 1, "modality": modality, "width": 3, "columns": (), "long": "truncate"} | more
    )


TABLE = facts("table", columns=SCHEMA)
VECTOR = facts("vector")


async def bring(which, *inputs, long=None):
    return await Taps(SimpleNamespace()).bring(which, inputs, long)


async def refused(which, *inputs, **more):
    with pytest.raises(BodyInvalid) as caught:
        await bring(which, *inputs, **more)
    return caught.value


async def test_vectors_become_float32_rows():
    tapped = await bring(VECTOR, {"embedding": [1, 2.5, -3]}, {"embedding": [0, 0, 0]})
    np.testing.assert_array_equal(tapped.at, np.array([[1, 2.5, -3], [0, 0, 0]], np.float32))
    assert tapped.at.dtype == np.float32
    assert not tapped.cut
    assert tapped.warnings == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"embedding": [1, 2]}, "has 2 numbers"),
        ({"embedding": [1, 2, 3, 4]}, "has 4 numbers"),
        ({"embedding": []}, "has 0 numbers"),
        ({"embedding": [1, "2", 3]}, "not a number"),
        ({"embedding": [1, True, 3]}, "not a number"),
        ({"embedding": [1, None, 3]}, "not a number"),
        ({"embedding": [1, [2], 3]}, "not a number"),
        ({"embedding": [1, 1e39, 3]}, "beyond 1e+15"),
        ({"embedding": [1, -2e15, 3]}, "beyond 1e+15"),
        ({"embedding": "AAAA"}, "not a list"),
        ({"embedding": None}, "not a list"),
        ({}, "missing"),
        ({"vector": [1, 2, 3]}, "missing"),
        ({"embedding": [1, 2, 3], "id": 4}, "'id'"),
    ],
)
async def test_a_wrong_vector_is_pointed_at(wrong, words):
    error = await refused(VECTOR, {"embedding": [1, 2, 3]}, wrong)
    assert words in error.problems[0].detail
    assert error.problems[0].pointer == "/inputs/1/embedding"
    assert "3 finite numbers" in error.message


@pytest.mark.parametrize("which", [VECTOR, TABLE, facts("text")])
@pytest.mark.parametrize("wrong", [None, 1, 1.5, True, [1, 2, 3]])
async def test_inputs_of_another_kind_are_pointed_at(which, wrong):
    error = await refused(which, wrong)
    assert error.problems[0].pointer == "/inputs/0"
    assert "input 0 is" in error.message


async def test_a_text_for_a_table_and_a_row_for_a_text_are_refused():
    assert "a row" in (await refused(TABLE, "some text")).message
    assert "a text" in (await refused(facts("text"), {"age": 3})).message


async def test_only_so_many_problems_are_listed():
    error = await refused(VECTOR, *[{"embedding": [1]}] * 100)
    assert len(error.problems) == LISTED_PROBLEMS
    assert "99 more" in error.message


async def test_rows_are_typed_by_the_schema():
    tapped = await bring(TABLE, {"plan": "b", "age": 33, "member": False}, {"age": 21.5, "member": True, "plan": "a"})
    assert isinstance(tapped.at, Rows)
    np.testing.assert_array_equal(tapped.at.numbers, [[33, 0], [21.5, 1]])
    assert tapped.at.categories.tolist() == [["b"], ["a"]]
    assert tapped.warnings == []


async def test_a_missing_column_is_a_missing_value_with_a_warning():
    tapped = await bring(TABLE, {"age": 33}, {"age": 34, "plan": "a"})
    assert np.isnan(tapped.at.numbers[:, 1]).all()
    assert tapped.at.categories.tolist() == [[""], ["a"]]
    assert "member" in {warning["column"] for warning in tapped.warnings}


async def test_a_mistyped_cell_is_a_missing_value_with_a_warning_that_says_which_input():
    tapped = await bring(TABLE, {"age": 1, "member": True, "plan": "a"}, {"age": "old", "member": True, "plan": "a"})
    assert np.isnan(tapped.at.numbers[1, 0])
    (warning,) = tapped.warnings
    assert (warning["column"], warning["inputs"], warning["count"]) == ("age", [1], 1)


async def test_columns_that_are_not_used_are_named():
    tapped = await bring(TABLE, {"age": 1, "member": True, "plan": "a", "colour": 1, "id": 2})
    assert tapped.warnings == [{"detail": "Columns that this adapter does not use were passed over: 'colour', 'id'."}]


@pytest.mark.parametrize("row", [{}, {"colour": "red"}, {"Age": 3}])
async def test_rows_without_any_known_column_are_refused(row):
    error = await refused(TABLE, row, row)
    assert "'age', 'member', 'plan'" in error.message


async def test_long_is_for_texts_alone():
    error = await refused(TABLE, {"age": 1}, long="chunk")
    assert error.problems[0].pointer == "/long"


class Several:
    """Backbones that embed a text as its length times a number of their own; `asked` has every call."""

    def __init__(self, **numbers):
        self.numbers = numbers
        self.asked = []

    async def encoder(self, name, digest, tap):
        async def embed(texts, long, tenant):
            self.asked.append((name, tap, long, tenant))
            await asyncio.sleep(0)
            if name not in self.numbers:
                raise NotReady(f"{name} is not here")
            z = np.array([[len(text) * self.numbers[name], 1, 2] for text in texts], np.float32)
            return z, np.array([text.endswith("!") and name == "a" for text in texts])

        return SimpleNamespace(embed=embed)


def over(*taps):
    """Facts of a head over several backbones: name, tap, parts and how long texts are treated."""
    backbones = tuple(BackboneTap(name, f"d-{name}", tap, parts, long) for name, tap, parts, long in taps)
    return facts("text", backbones=backbones, tuned=False)


async def test_several_backbones_stand_side_by_side_in_the_order_of_the_head():
    backbones = Several(a=1, b=10)
    which = over(("b", "pooled", ((0, 1),), "truncate"), ("a", "blocks", (), "chunk"))
    tapped = await Taps(backbones).bring(which, ["xy", "x!"], None, "acme")
    np.testing.assert_array_equal(tapped.at, [[20, 2, 1, 2], [20, 2, 1, 2]])
    assert tapped.cut == {1}
    assert sorted(backbones.asked) == [("a", "blocks", "chunk", "acme"), ("b", "pooled", "truncate", "acme")]


async def test_one_backbone_of_several_parts_embeds_once():
    backbones = Several(a=1)
    which = over(("a", "pooled", ((1, 2),), "truncate"), ("a", "pooled", ((0, 1), (2, 3)), "chunk"))
    tapped = await Taps(backbones).bring(which, ["xyz"], "chunk")
    np.testing.assert_array_equal(tapped.at, [[1, 3, 2]])
    assert backbones.asked == [("a", "pooled", "chunk", None)]


async def test_one_of_several_that_is_not_ready_says_so():
    which = over(("a", "pooled", (), "truncate"), ("gone", "pooled", (), "truncate"))
    with pytest.raises(NotReady, match="gone"):
        await Taps(Several(a=1)).bring(which, ["x"], None)
