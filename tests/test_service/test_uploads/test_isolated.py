from pathlib import Path

import pytest

from models.errors import Problem
from service.errors import UploadRefused, UploadUnreadable
from service.uploads import isolated
from service.uploads.isolated import run_isolated


def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> str:
    """A module that the child can import, whose request handler has `body`."""
    lines = "\n    ".join(body.splitlines())
    (tmp_path / "child_under_test.py").write_text(
        "import os, time\n"
        "from models.errors import Problem\n"
        "from service.errors import UploadRefused\n"
        "from service.uploads.isolated import answer\n"
        f"def handle(request):\n    {lines}\n"
        "def main():\n    answer(handle)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "child_under_test"


def test_the_answer_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = child(tmp_path, monkeypatch, "return {'twice': request['word'] * 2}")
    assert run_isolated(module, {"word": "é"}) == {"twice": "éé"}


def test_an_error_comes_back_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = child(tmp_path, monkeypatch, "raise UploadRefused('No.', problems=[Problem('blank', row=3)])")
    with pytest.raises(UploadRefused, match=r"^No\.$") as caught:
        run_isolated(module, {})
    assert caught.value.problems == (Problem("blank", row=3),)


@pytest.mark.parametrize(
    "body", ["os.abort()", "os._exit(1)", "raise KeyError('ours')", "bytearray(8 * 1024**3)"], ids=str
)
def test_a_crash_harms_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str):
    module = child(tmp_path, monkeypatch, body)
    with pytest.raises(UploadUnreadable, match="reader stopped with code"):
        run_isolated(module, {})


def test_a_child_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(isolated, "_TIME_S", 0.5)
    module = child(tmp_path, monkeypatch, "time.sleep(600)")
    with pytest.raises(UploadUnreadable, match=r"within 0\.5 s"):
        run_isolated(module, {})
