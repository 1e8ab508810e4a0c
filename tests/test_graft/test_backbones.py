"""client.backbones: the calls that are made, and what comes back."""

import json

import httpx
import pytest

from graft import ApiError, Backbone, Job, JobFailed


def body(request):
    return json.loads(request.content)


def test_a_backbone_says_what_runs_it_and_why(client):
    (found,) = client.backbones.list()
    assert (found.id, found.provider, found.provider_why) == ("minilm-l6", "cpu", "there is no GPU")
    assert found.taps == {"pooled": (384,), "block3": (-1, 384)}
    assert client.backbones.get("eye").own is True


def test_adding_waits_for_the_job_and_shows_the_backbone(client, fake):
    seen = []
    source = {"hub": "google/vit-base-patch16-224", "revision": "main"}
    made = client.backbones.add("eye", source, modality="image", taps=["block3"], on_progress=seen.append)
    assert isinstance(made, Backbone)
    assert made.id == "eye"
    assert body(fake.requests[0]) == {"id": "eye", "source": source, "modality": "image", "taps": ["block3"]}
    assert fake.requests[0].headers["idempotency-key"]
    assert [job.state for job in seen] == ["queued", "running", "succeeded"]
    assert seen[1].stage == "export"


def test_a_name_of_the_catalogue_needs_no_more(client, fake):
    started = client.backbones.add("eye", wait=False)
    assert isinstance(started, Job)
    assert (started.kind, started.backbone, started.adapter) == ("host", "eye", "")
    assert body(fake.requests[0]) == {"id": "eye"}


def test_what_is_hosted_already_is_no_job(client, fake, messages):
    fake.refusals = [httpx.Response(201, json=messages["eye"])]
    assert client.backbones.add("eye") == client.backbones.get("eye")


def test_an_onnx_file_goes_as_a_form(client, fake, messages, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08graph")
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    client.backbones.add(
        "eye",
        onnx=tmp_path / "model.onnx",
        tokenizer=str(tmp_path / "tokenizer.json"),
        modality="image",
        output="features",
        normalise=True,
        preprocess={"size": 128},
    )
    form = messages["form"](fake.requests[0])
    assert form == {
        "id": b"eye", "modality": b"image", "output": b"features", "normalise": b"true",
        "preprocess": b'{"size": 128}', "tokenizer": b'{"version": "1.0"}', "file": b"\x08\x08graph",
    }  # fmt: skip


def test_one_source_at_a_time(client, fake, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(TypeError, match="two sources"):
        client.backbones.add("eye", {"hub": "a/b"}, onnx=tmp_path / "model.onnx")
    assert fake.requests == []


def test_one_that_cannot_be_hosted(client, fake, messages):
    fake.hosting = messages["failed"] | {"id": "job_2", "kind": "host"}
    with pytest.raises(JobFailed, match="3 of 20"):
        client.backbones.add("eye")


def test_removing(client, fake, messages):
    client.backbones.remove("eye")
    assert (fake.requests[0].method, fake.requests[0].url.path) == ("DELETE", "/v1/backbones/eye")
    fake.refusals = [messages["refusal"](409, code="conflict", detail="Adapter pets:1 stands on it.")]
    with pytest.raises(ApiError, match="pets:1"):
        client.backbones.remove("eye")


@pytest.mark.parametrize("as_object", [False, True])
def test_ranking(client, fake, as_object):
    dataset = client.datasets.get("ds_1") if as_object else "ds_1"
    found = client.backbones.rank(dataset, backbones=["eye", "scatter-2d"])
    asked = next(request for request in fake.requests if request.method == "POST")
    assert asked.url.path == "/v1/backbones:rank"
    assert body(asked) == {"dataset": "ds_1", "backbones": ["eye", "scatter-2d"]}
    assert (found.recommended, found.items, found.why) == ("eye", 20, "eye is the best by 12 points.")
    assert [(one.id, one.probe_accuracy, one.ms_per_item) for one in found.backbones] == [
        ("eye", 0.9, 4.5), ("scatter-2d", 0.78, None),
    ]  # fmt: skip
