"""What every backbone of the catalogue does that needs no download. A new one is held to all of it without an edit.

Those of the hub are tried as tiny networks of the same architectures: test_architectures.py beside this file.
"""

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from models.base import Backbone, Card
from models.catalog import catalog, entry
from models.errors import WrongInput
from models.hosted import digest_of, host, hosted, open_backbone
from models.sources import BuiltIn, Package

TEXTS = [
    "I lost my card yesterday",
    "",
    "What is the exchange rate for euros today, and is it the same on weekends?",
    "Où est ma carte ? 卡在哪里 😀",
    "card",
    "pay " * 200,
]
REPOSITORY = Path(__file__).parents[2]


def image(width: int, height: int, seed: int) -> bytes:
    """A PNG of smooth colours, another for each seed."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(file, "PNG")
    return file.getvalue()


def sound(seconds: float, pitch_hz: float, rate: int = 16000) -> bytes:
    """A WAV of a tone with overtones that fades."""
    import soundfile

    time_s = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in (1, 2, 3))
    file = io.BytesIO()
    soundfile.write(file, 0.3 * tone * np.exp(-2 * time_s), rate, format="WAV")
    return file.getvalue()


def items_of(modality: str) -> list[str | bytes]:
    """Short and long, small and large."""
    if modality == "text":
        return list(TEXTS)
    if modality == "image":
        return [image(*size, seed) for seed, size in enumerate([(64, 64), (200, 90), (1, 1), (33, 300)])]
    return [sound(*form) for form in [(0.5, 220.0), (1.3, 440.0), (0.03, 300.0), (2.0, 900.0)]]


RECORDED = {
    "minilm-l6": (
        (
            "I still have not received my new card, I ordered over a week ago.",
            [-0.042841, -0.026318, 0.039981, 0.009396],
        ),
        ("", [-0.118838, 0.048299, -0.002548, -0.011011]),
        ("Où est ma carte ? 卡在哪里", [0.022935, 0.008506, 0.082871, 0.037574]),
        ("word " * 400, [-0.008124, -0.095586, -0.038673, 0.049662]),
    )
}
"""First numbers by the weights' own library (sentence-transformers 6.2.0, torch 2.13.0, CPU)."""


@dataclass(frozen=True)
class Hosted:
    folder: Path
    card: Card
    backbone: Backbone


def embed(backbone: Backbone, items: list[str | bytes]) -> np.ndarray:
    """As many at once as the backbone takes."""
    encoded, most = backbone.prepare(items), backbone.limits.items
    return np.concatenate([backbone.run(encoded[i : i + most]) for i in range(0, len(encoded), most)])


def ids_marked_by_cost(*modalities: str) -> list:
    """What can be hosted without a download; slow is what torch has to export first."""
    entries = [e for e in catalog().values() if isinstance(e.source, BuiltIn | Package)]
    return [
        pytest.param(e.id, marks=() if e.id == "fake" else pytest.mark.slow)
        for e in entries
        if not modalities or e.modality in modalities
    ]


of_texts = pytest.mark.parametrize("it", ids_marked_by_cost("text"), indirect=True)


@pytest.fixture(scope="session", params=ids_marked_by_cost())
def it(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hosted:
    """One backbone, hosted once for all tests."""
    folder = tmp_path_factory.mktemp(request.param)
    card = host(entry(request.param), folder, lambda _stage, _share: None)
    return Hosted(folder, card, open_backbone(folder, card.digest, threads=1))


def largest_change(z: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference of one number, by the length of its row."""
    return float((np.abs(z - reference) / np.linalg.norm(reference, axis=1, keepdims=True)).max())


def test_one_row_an_item(it):
    items = items_of(it.card.modality)
    z = embed(it.backbone, items)
    assert z.shape == (len(items), *it.card.taps["pooled"])
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    if it.card.recipe["normalisation"] == "L2":
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours_or_on_padding(it):
    items = items_of(it.card.modality)
    alone = np.concatenate([embed(it.backbone, [item]) for item in items])
    assert largest_change(embed(it.backbone, items), alone) <= 1e-6


def test_order_is_kept(it):
    items = items_of(it.card.modality)
    assert largest_change(embed(it.backbone, items[::-1])[::-1], embed(it.backbone, items)) <= 1e-6


def test_different_items_differ(it):
    z = embed(it.backbone, items_of(it.card.modality))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    assert np.triu(unit @ unit.T, k=1).max() < 0.99


@of_texts
def test_a_text_over_the_limit_is_cut_and_said_so(it):
    limit = it.card.max_tokens
    encoded = it.backbone.prepare(["a " * n for n in (1, 2 * limit)])
    assert [e.cut for e in encoded] == [False, True]
    assert encoded[1].size == limit
    longer = embed(it.backbone, ["a " * 2 * limit, "a " * 3 * limit])
    np.testing.assert_allclose(longer[0], longer[1], atol=1e-6)


@of_texts
def test_the_first_token_count_over_the_limit_is_where_truncation_starts(it):
    encoded = it.backbone.prepare(["a " * n for n in range(1, it.card.max_tokens + 2)])
    whole = [e for e in encoded if not e.cut]
    cut = [e for e in encoded if e.cut]
    assert whole == encoded[: len(whole)]
    assert whole[-1].size in (it.card.max_tokens, it.card.max_tokens - 1)
    assert all(e.size == it.card.max_tokens for e in cut)


def test_no_items_give_no_rows(it):
    assert it.backbone.prepare([]) == []
    assert it.backbone.run([]).shape == (0, *it.card.taps["pooled"])


@of_texts
@pytest.mark.parametrize("item", [None, 1, b"text", ["text"], "half \ud800"])
def test_what_is_not_text_is_refused(it, item):
    with pytest.raises(WrongInput, match="Item 1 "):
        it.backbone.prepare(["text", item])


@pytest.mark.parametrize("it", ids_marked_by_cost("image", "audio"), indirect=True)
@pytest.mark.parametrize("item", [None, 1, "text", b"", b"neither an image nor a sound"])
def test_what_cannot_be_decoded_is_refused(it, item):
    with pytest.raises(WrongInput, match="Item 1"):
        it.backbone.prepare([items_of(it.card.modality)[0], item])


def test_two_opens_give_the_same_numbers(it):
    again = open_backbone(it.folder, it.card.digest, threads=1)
    items = items_of(it.card.modality)
    np.testing.assert_array_equal(embed(again, items), embed(it.backbone, items))


def test_the_digest_is_stable_and_covers_the_files(it):
    assert host(entry(it.card.id), it.folder, lambda _stage, _share: None) == it.card
    assert hosted(it.folder) == {it.card.id: it.card}
    assert it.backbone.card == it.card
    assert it.card.digest == digest_of(it.card.files)


def test_serving_loads_neither_torch_nor_transformers_nor_onnx(it):
    program = """
import sys
from pathlib import Path
from models.hosted import open_backbone
from models.warm import warm
warm(open_backbone(Path(sys.argv[1]), sys.argv[2], threads=1))
heavy = {"torch", "transformers", "onnx", "onnxscript", "timm", "torchvision", "sentence_transformers"}
print(sorted(heavy & sys.modules.keys()))
"""
    command = [sys.executable, "-c", program, str(it.folder), it.card.digest]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("it", list(RECORDED), indirect=True)
def test_it_gives_the_numbers_of_the_weights_own_library(it):
    for text, first_numbers in RECORDED[it.card.id]:
        z = embed(it.backbone, [text])[0]
        np.testing.assert_allclose(z[: len(first_numbers)], first_numbers, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("it", list(RECORDED), indirect=True)
def test_a_paraphrase_is_closer_than_another_subject(it):
    question, paraphrase, other = embed(
        it.backbone, ["How do I reset my password?", "I cannot log in, I forgot my passphrase", "Where is my parcel?"]
    )
    assert question @ paraphrase > question @ other + 0.2
