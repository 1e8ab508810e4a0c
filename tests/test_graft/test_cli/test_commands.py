"""Every command that asks the service: what it shows, what it exits with, and that --json leaves stdout clean."""

import json

import httpx
import pytest

FIT = ("fit", "FILE", "--name", "intents")
COMMANDS = [
    FIT,
    (*FIT, "--no-wait"),
    ("fit", "ds_1", "--name", "intents"),
    ("datasets", "list"),
    ("datasets", "show", "ds_1"),
    ("datasets", "upload", "FILE"),
    ("datasets", "delete", "ds_1", "--yes"),
    ("adapters", "list"),
    ("adapters", "show", "intents"),
    ("adapters", "show", "intents:3"),
    ("adapters", "report", "intents:3"),
    ("adapters", "alias", "intents", "live", "3"),
    ("adapters", "onnx", "intents:3", "--out", "OUT"),
    ("adapters", "delete", "intents:3", "--yes"),
    ("jobs", "list"),
    ("jobs", "show", "job_1"),
    ("jobs", "watch", "job_1"),
    ("jobs", "cancel", "job_1"),
    ("fit", "PHOTOS", "--name", "intents", "--backbone", "auto"),
    ("datasets", "upload", "PHOTOS"),
    ("refit", "intents:3"),
    ("backbones", "list"),
    ("backbones", "show", "eye"),
    ("backbones", "add", "eye", "--hub", "a/b", "--modality", "image", "--size", "128"),
    ("backbones", "add", "eye", "--no-wait"),
    ("backbones", "remove", "eye", "--yes"),
    ("backbones", "rank", "ds_1", "--backbones", "eye,scatter-2d"),
    ("backbones", "rank", "PHOTOS"),
    ("signatures", "create", "BEASTS"),
    ("signatures", "create", "--labels", "tiger,lion", "--backbone", "minilm-l6"),
    ("signatures", "list"),
    ("signatures", "show", "sig_1"),
    ("signatures", "delete", "sig_1", "--yes"),
    ("zero-shot", "--backbone", "minilm-l6", "--labels", "refund,delivery", "where is my parcel"),
    ("zero-shot", "--backbone", "minilm-l6", "--labels-file", "LABELS", "where is my parcel"),
    ("zero-shot", "--backbone", "clip-vision", "--signatures", "sig_1", "PHOTO"),
    ("version", "intents", "--from", "3", "--signatures", "BEASTS"),
    ("version", "intents", "--labels", "refund,delivery", "--backbone", "minilm-l6"),
    (*FIT, "--signatures", "sig_1"),
    ("fit", "--name", "both", "--parent", "a:1", "--parent", "b:2", "--method", "ensemble", "--weights", "1,2"),
    ("predict", "intents", "where is my card", "--explain"),
    ("predict", "intents", "PHOTO", "--explain"),
    ("keys", "create", "--scopes", "predict,fit", "--tenant", "acme"),
    ("keys", "list"),
    ("keys", "revoke", "0123456789ab", "--yes"),
    ("predict", "intents", "where is my card"),
    ("predict", "intents", "TEXTS", "-o", "OUT.csv"),
    ("predict", "intents", "FILE", "-o", "OUT.csv"),
    ("predict", "intents", '{"age": 3}'),
    ("predict", "intents", "PHOTO"),
    ("predict", "intents", "PHOTOS", "-o", "OUT.csv"),
]


@pytest.fixture
def fill(tmp_path, messages):
    """Put real paths in a command's words."""
    (tmp_path / "intents.csv").write_text("text,label\nhello,x\n")
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/1.png").write_bytes(messages["png"])
    (tmp_path / "beasts.csv").write_text("class,stripes,mane\ntiger,1,0\nlion,0,1\n")
    (tmp_path / "labels.json").write_text('{"refund": "money back", "delivery": ["a parcel", "a courier"]}')
    words = {
        "BEASTS": "beasts.csv",
        "LABELS": "labels.json",
        "FILE": "intents.csv",
        "PHOTOS": "photos",
        "PHOTO": "photos/cat/1.png",
        "TEXTS": "texts.txt",
        "OUT": "out.onnx",
        "OUT.csv": "out.csv",
    }
    return lambda command: [str(tmp_path / words[word]) if word in words else word for word in command]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_is_all_there_is_on_stdout(run, fill, command):
    result = run(*fill(command), "--json")
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_person_reads_something_else(run, fill, command):
    result = run(*fill(command))
    assert result.exit_code == 0, result.output
    assert result.stdout.strip()
    assert "-" not in result.stdout.splitlines(), "parts are set apart by an empty line"
    assert result.stderr == "", "no progress bar without a terminal"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_service_is_3(run, fake, fill, command):
    fake.refusals = [httpx.ConnectError("refused")] * 9
    result = run(*fill(command))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "make serve" in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_refusal_is_1_and_shows_rows_and_the_request(run, fake, fill, messages, command):
    fake.refusals = [httpx.Response(422, json=messages["problem"] | {"request_id": "req_1"})]
    result = run(*fill(command))
    assert (result.exit_code, result.stdout) == (1, "")
    detail, row, request_id = (
        result.stderr.index(part) for part in ("3 of 20 rows are bad", "row 7", "Request id: req_1")
    )
    assert detail < row < request_id


def test_a_refusal_is_not_said_twice(run, fake):
    detail = "There is no such folder."
    problem = {"detail": detail, "code": "body-invalid", "errors": [{"detail": detail, "pointer": "/source/path"}]}
    fake.refusals = [httpx.Response(422, json=problem)]
    assert run("jobs", "list").stderr.splitlines() == [f"Error: {detail}"]


def test_a_refusal_as_json_goes_to_stderr(run, fake, messages):
    fake.refusals = [httpx.Response(422, json=messages["problem"] | {"request_id": "req_1"})]
    result = run("jobs", "list", "--json")
    assert result.stdout == ""
    error = json.loads(result.stderr)
    assert error["errors"] == [{"detail": "the label is empty", "row": 7}]
    assert (error["request_id"], error["detail"]) == ("req_1", messages["problem"]["detail"])


@pytest.mark.parametrize("command", [FIT, ("jobs", "watch", "job_1")], ids=" ".join)
@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ends_badly_is_4(run, fake, fill, messages, command, state):
    fake.stream = messages["sse"](("end", messages["failed"] | {"state": state}))
    result = run(*fill(command))
    assert result.exit_code == 4
    assert "3 of 20 rows are bad" in result.output or state == "cancelled"


@pytest.mark.parametrize(
    "command",
    [
        ("fit", "missing.csv", "--name", "x"),
        ("fit", "FILE", "--name", "x", "--set", "prior"),
        ("fit", "FILE"),
        ("fit", "FILE", "--name", "x", "--column", "age"),
        ("datasets", "upload", "FILE", "--column", "=number"),
        ("predict", "intents", "missing.csv"),
        ("predict", "intents", "TEXTS", "-o", "answers.xlsx"),
        ("datasets", "upload", "missing.csv"),
        ("predict", "intents", "missing.jpg"),
        ("predict", "intents", "PHOTO", "and a text"),
        ("predict", "intents", "PHOTOS", "-o", "answers.parquet"),
        ("predict", "intents", "PHOTO", "-o", "PHOTO"),
        ("backbones", "add", "eye", "--hub", "a/b", "--path", "/srv/weights"),
        ("backbones", "add", "eye", "--onnx", "missing.onnx"),
        ("backbones", "add", "eye", "--timm", "resnet18", "--option", "same"),
        ("backbones", "add", "eye", "--mean", "dark"),
        ("backbones", "remove", "eye"),
        ("backbones", "rank", "missing"),
        ("signatures", "create"),
        ("signatures", "create", "BEASTS", "--labels", "a,b"),
        ("signatures", "create", "BEASTS", "--backbone", "minilm-l6"),
        ("signatures", "create", "BEASTS", "--template", "a {}"),
        ("signatures", "delete", "sig_1"),
        ("zero-shot", "--backbone", "minilm-l6", "a text"),
        ("zero-shot", "--labels", "a,b", "a text"),
        ("zero-shot", "--backbone", "x", "--labels", "a,b", "--labels-file", "LABELS", "a text"),
        ("zero-shot", "--backbone", "x", "--labels-file", "missing.json", "a text"),
        ("version", "intents", "--from", "3"),
        ("version", "intents", "--from", "3", "--signatures", "missing.csv"),
        ("zero-shot", "--backbone", "x", "--signatures", "missing.csv", "a text"),
        ("fit", "FILE", "--name", "x", "--signatures", "missing.csv"),
        ("fit", "--name", "x", "--parent", "a:1", "--weights", "half"),
        ("predict", "intents", "FILE", "--explain"),
        ("predict", "intents", "PHOTO", "--explain", "-o", "OUT.csv"),
        ("datasets", "delete", "ds_1"),
        ("keys", "create"),
        ("keys", "revoke", "0123456789ab"),
        ("adapters", "delete", "intents", "--yes"),
        ("adapters", "show", "intents:x"),
        ("jobs", "list", "--url", "localhost"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2_and_asks_nothing(run, fake, fill, command):
    result = run(*fill(command))
    assert result.exit_code == 2, result.output
    assert fake.requests == []


def test_fit_shows_what_was_made(run, fill):
    out = run(*fill(FIT)).stdout
    for part in ("intents:3", "91.0%  (95% interval 85.0% to 95.0%)", "0.310", "0.040", "logistic (l2 = 1.0)", "1.50"):
        assert part in out


def test_fit_builds_the_method_from_its_parameters(run, fake, fill, messages):
    run(*fill(FIT), "--method", "logistic", "--set", "prior=names", "--set", "l2=0.5")
    method = json.loads(messages["form"](fake.requests[0])["method"])
    assert method == {"method": "logistic", "prior": "names", "l2": 0.5}


def test_fit_and_upload_say_what_the_file_holds(run, fake, fill, messages):
    chosen = (
        "--modality",
        "table",
        "--target",
        "y",
        "--task",
        "regression",
        "--column",
        "a=b=number",
        "--column",
        "c=date",
    )
    run(*fill(FIT), *chosen, "--long", "chunk")
    parts = messages["form"](fake.requests[0])
    expected = {"modality": "table", "target": "y", "task": "regression", "columns": {"a=b": "number", "c": "date"}}
    assert {name: parts[name].decode() for name in ("modality", "target", "task", "long")} == {
        "modality": "table", "target": "y", "task": "regression", "long": "chunk",
    }  # fmt: skip
    assert json.loads(parts["columns"]) == expected["columns"]
    run(*fill(("datasets", "upload", "FILE")), *chosen)
    assert json.loads(messages["form"](fake.requests[-1])["meta"]) == expected


def test_fit_and_upload_pass_groups_weights_and_where_to_start(run, fake, fill, messages):
    beside = ("--task", "multilabel", "--group", "patient", "--weight", "sure")
    run(*fill(FIT), *beside, "--parent", "intents:2", "--tap", "blocks", "--peft", "/shared/lora")
    parts = messages["form"](fake.requests[0])
    assert {name: parts[name].decode() for name in ("task", "group", "weight", "parents", "tap", "peft")} == {
        "task": "multilabel", "group": "patient", "weight": "sure", "parents": "intents:2", "tap": "blocks",
        "peft": "/shared/lora",
    }  # fmt: skip
    run(*fill(("datasets", "upload", "FILE")), *beside)
    meta = json.loads(messages["form"](fake.requests[-1])["meta"])
    assert meta == {"task": "multilabel", "group": "patient", "weight": "sure"}


def test_a_version_with_any_number_of_labels_is_shown_with_its_figures(run, fake, messages):
    figures = {"micro_f1": 0.8125, "macro_f1": 0.75, "exact_match": 0.625, "macro_average_precision": 0.875}
    several = messages["version"] | {"task": "multilabel", "metrics": figures, "thresholds": [0.25, 0.5]}
    fake.refusals = [httpx.Response(200, json=several)]
    out = run("adapters", "show", "intents:3").stdout
    for part in ("micro-F1", "0.812", "0.750", "all labels right", "62.5%", "mean average precision", "0.875"):
        assert part in out
    assert "accuracy" not in out
    assert next(line.split() for line in out.splitlines() if line.startswith("lost_card")) == ["lost_card", "0.250"]
    fake.refusals = [httpx.Response(200, json=messages["adapter"] | {"versions": [several]})]
    header = next(line for line in run("adapters", "show", "intents").stdout.splitlines() if line.startswith("version"))
    assert ("micro-F1" in header, "accuracy" in header) == (True, False)


def test_refit_says_in_a_line_whether_it_is_the_same(run, fake, messages):
    done = run("refit", "intents:3")
    assert done.stdout == "intents:3 came out the same, byte for byte (2 files).\n"
    files = messages["refit"]["files"] | {"head.onnx": {"before": "a1", "after": "c3"}}
    fake.refit = messages["refit"] | {"same": False, "files": files, "differs_because": ["The code is another one."]}
    other = run("refit", "intents:3")
    assert other.exit_code == 1
    assert other.stdout == "intents:3 came out different in head.onnx. The code is another one.\n"
    assert json.loads(run("refit", "intents:3", "--json").stdout)["same"] is False


def test_refit_of_what_is_not_there_is_refused(run):
    assert run("refit", "intents:9").exit_code == 1


def test_a_table_is_shown_with_its_columns_and_the_figures_of_its_task(run, fake, messages):
    fake.refusals = [httpx.Response(200, json=messages["table"])]
    out = run("adapters", "show", "intents:3").stdout
    for part in ("rows of 3 columns", "0.877", "12.500", "9.250", "18 to 79.5", "a, b, c, d, e, f, g, h and 2 more"):
        assert part in out
    assert "2024-01-11 to 2024-09-11" in out
    assert '"2024-03-04"' in out
    assert "accuracy" not in out
    assert "class" not in out
    versions = [messages["table"] | {"version": 2, "metrics": {"r2": 0.5}}, messages["table"]]
    fake.refusals = [httpx.Response(200, json=messages["adapter"] | {"versions": versions})]
    out = run("adapters", "show", "intents").stdout
    header = next(line for line in out.splitlines() if line.startswith("version"))
    assert ("R²" in header, "RMSE" in header, "accuracy" in header) == (True, True, False)
    assert "Rows of the live version:" in out


def test_fit_shows_how_to_try_a_table_or_vectors(run, fake, fill, messages, monkeypatch):
    fake.refusals = [httpx.Response(201, json=messages["table"])]
    shown = " ".join(run(*fill(FIT)).stdout.split())
    assert """graft predict intents '{"age": 42, "plan": "a", "joined": "2024-03-04"}'""" in shown
    monkeypatch.setattr("graft.cli.fit.LONGEST_EXAMPLE", 10)
    fake.refusals = [httpx.Response(201, json=messages["table"])]
    assert "graft predict intents rows.csv" in run(*fill(FIT)).stdout
    fake.refusals = [httpx.Response(201, json=messages["version"] | {"modality": "vector"})]
    assert "graft predict intents vectors.npy" in run(*fill(FIT)).stdout


def test_datasets_of_each_modality_are_shown(run, fake, messages):
    fake.refusals = [httpx.Response(200, json=messages["rows"])]
    out = run("datasets", "show", "ds_1").stdout
    for part in ("regression", "target = price", "lowest", "4.500", "18 to 79.5"):
        assert part in out
    fake.refusals = [httpx.Response(200, json=messages["values"])]
    out = run("datasets", "show", "ds_1").stdout
    assert "384" in out
    assert "lost_card" in out


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(run, fake, fill):
    fake.refusals = []
    fake.stream = _Interrupting()
    for command in (FIT, ("jobs", "watch", "job_1")):
        result = run(*fill(command))
        assert result.exit_code == 130
        assert "graft jobs watch job_1" in result.stderr
        assert "graft jobs cancel job_1" in result.stderr
    assert not any(request.url.path.endswith("cancel") for request in fake.requests)


class _Interrupting(httpx.SyncByteStream):
    """A stream during which somebody presses Ctrl-C."""

    def __iter__(self):
        yield b": keep-alive\n\n"
        raise KeyboardInterrupt


def test_rows_left_out_are_counted_in_words(run, messages, monkeypatch):
    assert "1 row was left out:" in run("datasets", "show", "ds_1").stdout
    monkeypatch.setitem(messages["dataset"], "problems", messages["dataset"]["problems"] * 2)
    assert "2 rows were left out:" in run("datasets", "show", "ds_1").stdout


def test_ctrl_c_during_the_upload_says_that_nothing_is_known(run, fake, fill):
    fake.refusals = [KeyboardInterrupt()]
    result = run(*fill(FIT))
    assert result.exit_code == 130
    assert "graft jobs list" in result.stderr


def test_control_characters_never_reach_the_terminal(run, fake, messages):
    evil = messages["dataset"] | {"name": "\x1b[2Jevil [bold]name[/]"}
    fake.refusals = [httpx.Response(200, json=messages["page"](evil))]
    out = run("datasets", "list").stdout
    assert "\x1b" not in out
    assert "[bold]name[/]" in out, "what users named is no markup"


def test_onnx_is_written_as_sent(run, tmp_path):
    run("adapters", "onnx", "intents@latest", "-o", str(tmp_path / "head.onnx"))
    assert (tmp_path / "head.onnx").read_bytes() == b"\x08\x08onnx"


def test_help_tells_the_exit_codes(run):
    for command in ((), ("fit",), ("jobs", "watch")):
        out = " ".join(run(*command, "--help").stdout.split())
        assert "3 no service reached" in out
        assert "4 the job failed or was cancelled" in out


def test_version(run):
    assert run("--version").stdout == "0.1.0\n"
