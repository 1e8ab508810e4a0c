"""``graft doctor`` and its checks."""

import json
from collections import namedtuple

import httpx
import pytest

from graft import Client
from graft.cli import checks, doctor

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def examine(run, fake, monkeypatch, tmp_path):
    """Run the doctor against the fake service; returns exit code and checks by name."""
    connect = lambda url, **_: Client(url or "http://graft.test", transport=httpx.MockTransport(fake), retry=_["retry"])  # noqa: E731
    monkeypatch.setattr(doctor, "Client", connect)
    monkeypatch.setenv("GRAFT_SECRET", "do-not-show")
    monkeypatch.delenv("GRAFT_URL", raising=False)

    def examined(*options):
        result = run("doctor", "--home", str(tmp_path / "state"), "--json", *options)
        assert "do-not-show" not in result.output
        return result.exit_code, {check["name"]: check for check in json.loads(result.stdout)}

    return examined


def test_a_healthy_service(examine):
    code, found = examine()
    assert code == 0
    assert found["service"]["status"] == "ok"
    assert found["backbones"]["seen"] == "minilm-l6 (ready)"
    assert found["backbone minilm-l6"]["seen"] == "runs on cpu: there is no GPU"
    assert found["extra timm"]["name"]
    assert found["embedding cache"]["seen"].startswith("none in ")
    assert "GRAFT_SECRET" in found["variables"]["seen"]


def test_a_service_that_is_not_running_is_a_failure_only_where_one_was_named(examine, fake):
    fake.refusals = [httpx.ConnectError("refused")]
    code, found = examine()
    assert (code, found["service"]["status"], found["service"]["remedy"]) == (0, "warn", "Start it: make serve.")
    fake.refusals = [httpx.ConnectError("refused")]
    code, found = examine("--url", "http://graft.example")
    assert (code, found["service"]["status"]) == (1, "fail")


def test_a_service_that_is_preparing(examine, fake):
    fake.refusals = [httpx.Response(503, json={"ready": False, "reason": "exporting"})]
    code, found = examine()
    assert (code, found["service"]["status"]) == (0, "warn")
    assert "exporting" in found["service"]["seen"]


def test_a_person_sees_the_same(run, tmp_path):
    out = run("doctor", "--home", str(tmp_path), "--url", "http://127.0.0.1:1").stdout
    assert "nothing answers at http://127.0.0.1:1" in out


@pytest.mark.parametrize(("free_gib", "status"), [(0.4, "fail"), (1, "warn"), (50, "ok")])
def test_disk(monkeypatch, tmp_path, free_gib, status):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: Usage(0, 0, int(free_gib * checks.GIB)))
    assert checks.disk(tmp_path / "not" / "there").status == status


def test_memory_is_what_the_container_leaves(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99 kB\nMemAvailable: 16777216 kB\n")
    assert checks.memory(tmp_path).seen == "16.0 GiB available"
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{4 * checks.GIB}\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text(f"{3 * checks.GIB}\n")
    limited = checks.memory(tmp_path)
    assert (limited.status, limited.seen) == ("warn", "1.0 GiB available")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert checks.memory(tmp_path).status == "ok"


def test_a_gpu_that_does_not_answer_is_a_warning(tmp_path):
    assert checks.gpu("no-such-command").status == "ok"
    broken = tmp_path / "smi"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    assert checks.gpu(str(broken)).status == "warn"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(checks.EXTRAS, "fit", ("no-such-package", "httpx"))
    found = checks.installed("fit")
    assert found.status == "warn"
    assert "missing: no-such-package" in found.seen


def test_a_backbone_that_could_not_be_hosted_is_a_warning_with_the_reason(examine, fake, messages):
    failed = messages["eye"] | {"state": "failed", "provider": None, "error": messages["problem"]}
    fake.refusals = [httpx.Response(200, json={"ready": True}), httpx.Response(200, json=messages["page"](failed))]
    code, found = examine()
    assert (code, found["backbone eye"]["status"], found["backbones"]["status"]) == (0, "warn", "warn")
    assert found["backbone eye"]["seen"] == messages["problem"]["detail"]


def test_the_cache_has_a_size(tmp_path):
    (tmp_path / "cache/embeddings").mkdir(parents=True)
    (tmp_path / "cache/embeddings/1.npy").write_bytes(bytes(3 * 2**20))
    assert checks.cache(tmp_path).seen.startswith("3.0 MiB in ")


def test_a_missing_timm_says_what_it_is_for(monkeypatch):
    monkeypatch.setitem(checks.EXTRAS, "timm", ("no-such-package",))
    assert "VGG16" in checks.installed("timm").remedy
