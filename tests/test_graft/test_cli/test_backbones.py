"""``graft backbones``: what is asked for, and what is shown."""

import json

import pytest


def body(fake):
    return next(json.loads(request.content) for request in fake.requests if request.method == "POST")


def test_a_source_with_its_choices_is_what_the_service_takes(run, fake):
    done = run(
        *("backbones", "add", "eye", "--path", "/srv/weights/mobilenet", "--timm", "mobilenetv2_100"),
        *("--option", "pad_type=same", "--option", "output_stride=16", "--size", "128", "--mean", "127.5"),
        *("--std", "58.4,57.1,57.4", "--resample", "bicubic", "--tap", "block3", "--licence", "Apache-2.0"),
    )
    assert done.exit_code == 0, done.output
    assert body(fake) == {
        "id": "eye",
        "source": {
            "path": "/srv/weights/mobilenet", "timm": "mobilenetv2_100",
            "options": {"pad_type": "same", "output_stride": 16},
        },
        "preprocess": {"size": 128, "mean": [127.5], "std": [58.4, 57.1, 57.4], "resample": "bicubic"},
        "taps": ["block3"],
        "licence": "Apache-2.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), {}),
        (
            ("--hub", "intfloat/e5-small-v2", "--revision", "v1", "--prefix", "query: ", "--pooling", "mean"),
            {"source": {"hub": "intfloat/e5-small-v2", "revision": "v1"}, "prefix": "query: ", "pooling": "mean"},
        ),
        (
            ("--words", "/srv/glove.txt", "--format", "glove"),
            {"source": {"words": "/srv/glove.txt", "format": "glove"}},
        ),
        (("--adapter", "pets:3"), {"source": {"adapter": "pets:3"}}),
        (("--catalog", "resnet-50", "--no-wait"), {"source": {"catalog": "resnet-50"}}),
        (
            ("--hub", "facebook/wav2vec2-base", "--modality", "audio", "--max-seconds", "5", "--no-normalise"),
            {
                "source": {"hub": "facebook/wav2vec2-base"},
                "modality": "audio",
                "max_seconds": 5.0,
                "normalise": False,
            },
        ),
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_source(run, fake, words, asked):
    assert run("backbones", "add", "eye", *words).exit_code == 0
    assert body(fake) == {"id": "eye", **asked}


def test_an_onnx_file_is_uploaded(run, fake, messages, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"graph")
    path = str(tmp_path / "model.onnx")
    run("backbones", "add", "eye", "--onnx", path, "--input", "pixels", "--output", "z", "--modality", "image")
    form = messages["form"](next(request for request in fake.requests if request.method == "POST"))
    assert form == {"id": b"eye", "input": b"pixels", "output": b"z", "modality": b"image", "file": b"graph"}


def test_one_that_could_not_be_hosted_is_4(run, fake, messages):
    fake.hosting = messages["failed"] | {"id": "job_2", "kind": "host"}
    done = run("backbones", "add", "eye")
    assert (done.exit_code, done.stdout) == (4, "")
    assert "3 of 20 rows are bad" in done.stderr


def test_what_is_hosted_says_what_runs_it(run):
    listed = run("backbones", "list").stdout
    assert listed.splitlines()[0].split() == [
        *("backbone", "modality", "state", "width", "max", "tokens", "runs", "on", "licence", "source")
    ]
    shown = run("backbones", "show", "eye").stdout
    assert "cpu (there is no GPU)" in shown
    assert "pooled 384, block3 tx384" in shown


def test_a_ranking_is_a_table_and_a_reason(run):
    out = run("backbones", "rank", "ds_1").stdout
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == ["eye", "0.900", "0.300", "1.200", "0.800", "4.500", "64"]
    assert lines[2] == ["scatter-2d", "0.780", "-", "-", "-", "-", "-"]
    assert out.rstrip().endswith("eye is the best by 12 points.")


def test_a_folder_is_uploaded_and_ranked(run, fake, messages, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(messages["png"])
    assert run("backbones", "rank", str(tmp_path)).exit_code == 0
    posts = [request for request in fake.requests if request.method == "POST"]
    assert [request.url.path for request in posts] == ["/v1/datasets", "/v1/backbones:rank"]
    assert json.loads(posts[1].content) == {"dataset": "ds_1"}


def test_jobs_of_all_kinds_say_what_they_are_about(run, fake, messages):
    fake.hosting = messages["hosted"]
    assert "backbone  eye" in run("jobs", "show", "job_2").stdout


def test_a_fit_whose_data_chose_shows_what_was_compared(run, fake, messages, tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n")
    words = ("fit", str(tmp_path / "rows.csv"), "--name", "intents", "--backbone")
    assert "Compared" not in run(*words, "auto").stdout, "there was one backbone alone"
    fake.report = {"backbones": messages["ranking"]["backbones"], "backbone": {"why": "eye is the best."}}
    *lines, blank, why = run(*words, "auto").stdout.splitlines()
    cells = [line.split() for line in lines[-2:]]
    assert cells == [["eye", "0.900", "0.300", "1.200", "0.800", "4.500", "64"], ["scatter-2d", "0.780", *"-----"]]
    assert (blank, why) == ("", "eye is the best.")
    assert "Compared" not in run(*words, "eye").stdout
