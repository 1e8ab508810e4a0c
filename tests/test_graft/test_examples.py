"""The drawn examples are what the script draws, and small."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KINDS = {"shapes": ("circle", "square", "triangle"), "sounds": ("buzz", "hiss", "whistle")}


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("draw", EXAMPLES / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(drawing, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    drawing.draw(folder, each=6, seed=0)
    return folder


def _files(folder, kind):
    return sorted(file.relative_to(folder).as_posix() for file in (folder / kind).rglob("*.*"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_here_are_the_ones_it_draws(drawn, kind):
    names = _files(EXAMPLES, kind)
    assert names == _files(drawn, kind)
    assert len(names) == 18
    assert {name.split("/")[1] for name in names} == set(KINDS[kind])
    for name in names:
        if kind == "sounds":
            assert (EXAMPLES / name).read_bytes() == (drawn / name).read_bytes(), name
        else:  # another build of Pillow may compress otherwise
            np.testing.assert_array_equal(Image.open(EXAMPLES / name), Image.open(drawn / name))


def test_another_seed_draws_others(drawing, drawn, tmp_path):
    drawing.draw(tmp_path, each=1, seed=1)
    for name in ("sounds/buzz/01.wav", "shapes/circle/01.png"):
        assert (tmp_path / name).read_bytes() != (drawn / name).read_bytes()


def test_they_are_small():
    assert sum(file.stat().st_size for kind in KINDS for file in (EXAMPLES / kind).rglob("*.*")) < 100_000


def _rows(name):
    with (EXAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_animal_has_a_row_of_signatures_and_three_have_no_sentence():
    described = {row["class"]: row for row in _rows("animals_signatures.csv")}
    seen = {row["label"] for row in _rows("animals.csv")}
    unseen = {row["label"] for row in _rows("animals_unseen.csv")}
    assert seen | unseen == set(described)
    assert len(seen) == 10
    assert unseen == {"zebra", "penguin", "bat"}
    cells = [cell for row in described.values() for name, cell in row.items() if name not in {"class", "legs"}]
    assert set(cells) == {"0", "1", ""}
    assert {row["legs"] for row in described.values()} == {"none", "two", "four", "six", "eight"}


@pytest.mark.parametrize("name", ["animals.csv", "animals_unseen.csv"])
def test_no_sentence_names_its_animal(name):
    assert [row for row in _rows(name) if row["label"] in row["text"].lower().split()] == []


def test_every_intent_is_described():
    labels = json.loads((EXAMPLES / "intents_labels.json").read_text(encoding="utf-8"))
    assert set(labels) == {row["label"] for row in _rows("intents.csv")}
