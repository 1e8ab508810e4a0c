"""From an archive to an answer: images and sounds over HTTP, on the backbones that need no download."""

import base64
import io
import zipfile

import numpy as np
import pytest
import soundfile
from PIL import Image


def _image(hue: int, seed: int) -> bytes:
    """A patch of one colour, with noise."""
    pixels = np.random.default_rng(seed).integers(0, 60, (24, 20, 3), dtype=np.uint8)
    pixels[..., hue] += 180
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def _tone(hertz: int, seed: int) -> bytes:
    """A tone, with noise."""
    at_s = np.arange(4_000) / 8_000
    noise = np.random.default_rng(seed).normal(0, 0.01, len(at_s))
    sink = io.BytesIO()
    soundfile.write(sink, 0.5 * np.sin(2 * np.pi * hertz * at_s) + noise, 8_000, format="FLAC")
    return sink.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("modality", "backbone", "made", "classes"),
    [
        ("image", "scatter-2d", _image, {"red": 0, "green": 1, "blue": 2}),
        ("audio", "logmel-stats", _tone, {"low": 200, "high": 1_500}),
    ],
)
def test_an_archive_becomes_an_adapter_that_answers(service, modality, backbone, made, classes):
    files = {f"{label}/{at}": made(value, at) for label, value in classes.items() for at in range(12)}
    broken = {f"{next(iter(classes))}/broken.{'png' if modality == 'image' else 'wav'}": b"x"}
    uploaded = service.upload(_zip(files | broken), "items.zip")
    assert uploaded.status_code == 201, uploaded.text
    dataset = uploaded.json()
    assert (dataset["modality"], dataset["items"]) == (modality, len(files))
    assert [problem["detail"].partition(":")[0] for problem in dataset["problems"]] == list(broken)
    hosted = service.client.post("/v1/backbones?wait=60", json={"id": backbone, "source": {"catalog": backbone}})
    assert hosted.status_code in {200, 201}, hosted.text
    body = {"name": "it", "dataset": dataset["id"], "backbone": backbone, "method": "prototype"}
    fitted = service.client.post("/v1/adapters?wait=60", json=body)
    assert fitted.status_code == 201, fitted.text
    assert (fitted.json()["modality"], fitted.json()["backbone"]["id"]) == (modality, backbone)
    inputs = [made(value, 99) for value in classes.values()]
    by_json = service.predict("it", *({modality: base64.b64encode(data).decode()} for data in inputs))
    assert by_json.status_code == 200, by_json.text
    assert [prediction["label"] for prediction in by_json.json()["predictions"]] == list(classes)
    form = [("file", (f"{at}", data)) for at, data in enumerate(inputs)]
    by_form = service.client.post("/v1/adapters/it/predict", files=form)
    for one, other in zip(by_json.json()["predictions"], by_form.json()["predictions"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)
    bad = service.predict("it", {modality: base64.b64encode(b"not a file").decode()})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, f"/inputs/0/{modality}")
