import numpy as np
import pytest

from adapters.zero_shot.mixtures import MOST_PARTS, NEAR_COPY, mixture_of

NAMES = ("tiger", "tigress", "lion", "wolf", "seal", "mole", "bat", "rat")
TIGRESS = 1


def similarity(copies=0.9):
    """Tiger and tigress are near-copies, tiger and lion relations, others have nothing in common."""
    table = np.eye(len(NAMES))
    table[0, 1] = table[1, 0] = copies
    table[0, 2] = table[2, 0] = table[1, 2] = table[2, 1] = 0.6
    return table


def mixture(*shares, copies=0.9):
    row = np.zeros(len(NAMES), dtype=np.float32)
    row[: len(shares)] = shares
    return mixture_of(NAMES, row[None], similarity(copies))[0]


def test_a_liger_has_two_modes():
    found = mixture(0.5, 0.0, 0.45, 0.05)
    assert found.second == ("lion", pytest.approx(0.45))
    assert found.parts[:2] == (("tiger", pytest.approx(0.5)), ("lion", pytest.approx(0.45)))
    assert found.entropy < np.log(3)


def test_a_tiger_whose_mass_lies_on_a_near_copy_has_one():
    found = mixture(0.5, 0.45, 0.05)
    assert found.second is None
    assert mixture(0.5, 0.45, 0.05, copies=NEAR_COPY - 0.01).second == ("tigress", pytest.approx(0.45))


def test_a_tiger_that_is_merely_hard_has_none_and_a_high_entropy():
    found = mixture(0.3, 0.0, 0.2, 0.15, 0.1, 0.1, 0.1, 0.05)
    assert found.second is None
    assert found.entropy > mixture(0.5, 0.0, 0.45, 0.05).entropy


def test_a_clear_tiger_has_one_mode():
    found = mixture(0.9, 0.0, 0.1)
    assert found.second is None
    assert found.parts == (("tiger", pytest.approx(0.9)), ("lion", pytest.approx(0.1)))


def test_near_copies_weigh_together():
    """Neither tiger nor tigress alone outweighs the lion twice, or is half of the wolf, but together they are."""
    assert mixture(0.4, 0.35, 0.25).second is None
    assert mixture(0.2, 0.2, 0.0, 0.45, 0.15).second == ("tiger", pytest.approx(0.2))
    assert mixture(0.3, 0.3, 0.4).second == ("tiger", pytest.approx(0.3))


def test_even_over_all_it_is_as_unsure_as_can_be():
    found = mixture(*[1 / 8] * 8)
    assert found.entropy == pytest.approx(np.log(8), abs=1e-6)
    assert found.second is None
    assert len(found.parts) == MOST_PARTS
    assert [name for name, _ in found.parts] == list(NAMES[:MOST_PARTS])


def test_one_class_alone_is_no_mixture():
    found = mixture(0, 0, 0, 1.0)
    assert found.parts == (("wolf", 1.0),)
    assert found.entropy == 0
    assert found.second is None


def test_small_shares_are_not_named_but_the_likeliest_always_is():
    assert [name for name, _ in mixture(0.9, 0.04, 0.06).parts] == ["tiger", "lion"]
    many = 40
    shares = np.full((1, many), 1 / many, dtype=np.float32)
    found = mixture_of([f"class {c}" for c in range(many)], shares, np.eye(many))[0]
    assert [name for name, _ in found.parts] == ["class 0"]


def test_each_row_has_its_own():
    shares = np.zeros((3, len(NAMES)), dtype=np.float32)
    shares[:, :3] = [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]
    found = mixture_of(NAMES, shares, similarity())
    assert [one.parts[0][0] for one in found] == ["tiger", "tiger", "lion"]
    assert [one.second is None for one in found] == [True, False, True]


def test_a_source_without_a_direction_is_still_its_own_mode():
    """A signature that is the mean of all has no cosine with itself."""
    shares = np.array([[0.5, 0.5]], dtype=np.float32)
    assert mixture_of(("plain", "lion"), shares, np.array([[0.0, 0.0], [0.0, 1.0]]))[0].second == ("lion", 0.5)
