"""Downloads, from a hub of a few lines on this machine."""

import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import numpy as np
import pytest

from models.batching import embed
from models.catalog import Entry, Options
from models.errors import SourceRefused, WeightsCorrupt
from models.hosted import host, open_backbone
from models.hub import download
from models.locks import Lock, add_lock, read_locks
from models.sources import Hub
from models.trunks.torchvision_ops import complete

REPO = "acme/tiny"
FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = {"config.json": b"{}", "model.safetensors": bytes(1000)}
HARMLESS = {"tokenizer.json": b"{}", "modules.json": b"[]", "1_Pooling/config.json": b"{}", "vocab.txt": b"a"}
HARMFUL = {"pytorch_model.bin": b"pickle", "modeling_tiny.py": b"import os", "onnx/model.onnx": b"graph", "x.pt": b"."}
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})


class FakeHub(ThreadingHTTPServer):
    """Speaks what huggingface_hub asks of a hub: the files of a revision, and each file."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.revisions = {"main": FIRST, FIRST: FIRST}
        self.files = {FIRST: {**WEIGHTS, **HARMLESS, **HARMFUL}}
        self.refusal = None
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        if self.server.refusal:
            return self.answer(*self.server.refusal)
        if parts[0] == "api":
            return self.revision("/".join(parts[2:4]), "/".join(parts[5:]))
        return self.file(parts[3], "/".join(parts[4:]))

    def revision(self, repo, revision):
        if repo != REPO:
            return self.answer(404, "RepoNotFound")
        if revision not in self.server.revisions:
            return self.answer(404, "RevisionNotFound")
        commit = self.server.revisions[revision]
        siblings = [{"rfilename": name, "size": len(content)} for name, content in self.server.files[commit].items()]
        return self.answer(200, body=json.dumps({"id": repo, "sha": commit, "siblings": siblings}).encode())

    def file(self, commit, name):
        content = self.server.files[commit].get(name)
        if content is None:
            return self.answer(404, "EntryNotFound")
        return self.answer(200, body=content, commit=commit)

    def answer(self, status, code="", body=b"", commit=FIRST):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A running hub, which the library asks instead of the real one, with an empty cache."""
    server = FakeHub()
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "lock.json"


def take(lock, source=None, seen=None):
    return download(source or Hub(REPO), lock, (seen if seen is not None else []).append)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_weights_and_settings_are_taken_and_nothing_else(hub, lock):
    folder = take(lock)
    assert names(folder) == {*WEIGHTS, *HARMLESS}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS["model.safetensors"]
    assert not [request for request in hub.asked if any(name in request for name in HARMFUL)]


def test_shards_are_taken_with_their_index(hub, lock):
    shards = {f"model-0000{i}-of-00002.safetensors": bytes(i) for i in (1, 2)}
    hub.files[FIRST] = {"config.json": b"{}", "model.safetensors.index.json": INDEX.encode(), **shards}
    assert names(take(lock)) == set(hub.files[FIRST])


def test_a_shard_that_is_not_there_is_named(hub, lock):
    hub.files[FIRST] = {
        "config.json": b"{}",
        "model.safetensors.index.json": INDEX.encode(),
        "model-00001-of-00002.safetensors": b"1",
    }
    with pytest.raises(SourceRefused, match="no model-00002-of-00002"):
        take(lock)
    assert not lock.exists()


def test_progress_is_a_share_that_rises_to_one(hub, lock):
    seen = []
    take(lock, seen=seen)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert any(0.5 < share < 1 for share in seen)


def test_the_first_download_is_locked(hub, lock):
    take(lock)
    [(key, entry)] = json.loads(lock.read_text()).items()
    assert (key, entry["commit"]) == (f"{REPO}@main", FIRST)
    assert entry["files"]["model.safetensors"] == hashlib.sha256(WEIGHTS["model.safetensors"]).hexdigest()
    assert set(entry["files"]) == {*WEIGHTS, *HARMLESS}


def test_a_branch_that_moves_keeps_meaning_what_it_meant(hub, lock):
    take(lock)
    hub.revisions["main"], hub.files[SECOND] = SECOND, {**WEIGHTS, "model.safetensors": b"other"}
    hub.asked.clear()
    assert take(lock).name == FIRST
    assert hub.asked == []
    assert take(lock.with_name("another.json")).name == SECOND


def test_a_revision_is_locked_for_itself(hub, lock):
    hub.revisions["refs/pr/2"], hub.files[SECOND] = SECOND, WEIGHTS
    take(lock)
    assert take(lock, Hub(REPO, "refs/pr/2")).name == SECOND
    assert {f"{REPO}@main", f"{REPO}@refs/pr/2"} == json.loads(lock.read_text()).keys()


def test_a_file_that_is_not_the_locked_one_is_refused(hub, lock):
    folder = take(lock)
    (folder / "model.safetensors").resolve().write_bytes(b"swapped")
    with pytest.raises(SourceRefused, match=r"model\.safetensors of 'acme/tiny' has sha256 .*locked at the first"):
        take(lock)


def test_a_locked_file_that_was_lost_is_fetched_again_and_compared(hub, lock):
    folder = take(lock)
    for path in (folder / "model.safetensors", (folder / "model.safetensors").resolve()):
        path.unlink()
    hub.files[FIRST] = {**hub.files[FIRST], "model.safetensors": b"rewritten under the same commit"}
    with pytest.raises(SourceRefused, match="locked at the first"):
        take(lock)


def test_a_broken_lock_file_stops_everything(hub, lock):
    lock.write_text("{")
    with pytest.raises(WeightsCorrupt, match=r"lock\.json cannot be read"):
        take(lock)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, r"as pickles only \(pytorch_model\.bin\).*run any code"),
        ({"model.safetensors": b"x"}, "has no config.json"),
        ({"config.json": b"{}", "open_clip.safetensors": b"x"}, "no model.safetensors; it has open_clip.safetensors"),
        ({}, "has no config.json"),
    ],
)
def test_a_repository_without_what_is_needed_is_refused(hub, lock, files, sentence):
    hub.files[FIRST] = files
    with pytest.raises(SourceRefused, match=sentence):
        take(lock)
    assert not lock.exists()


def test_weights_of_timm_need_no_configuration(hub, lock):
    hub.files[FIRST] = {"model.safetensors": b"x"}
    assert names(take(lock, Hub(REPO, timm="vgg16"))) == {"model.safetensors"}


def test_settings_count_as_weights_do(hub, lock, monkeypatch):
    size_bytes = sum(map(len, WEIGHTS.values()))
    hub.files[FIRST] = {**WEIGHTS, "vocab.txt": bytes(1000)}
    monkeypatch.setattr("models.hub.MOST_BYTES", size_bytes + 999)
    with pytest.raises(SourceRefused, match="GiB"):
        take(lock)
    monkeypatch.setattr("models.hub.MOST_BYTES", size_bytes + 1000)
    take(lock)


def test_weights_over_the_limit_are_not_begun(hub, lock, monkeypatch):
    monkeypatch.setattr("models.hub.MOST_BYTES", 999)
    with pytest.raises(SourceRefused, match="GiB"):
        take(lock)
    assert not [request for request in hub.asked if "resolve" in request]


@pytest.mark.parametrize(
    ("source", "refusal", "sentence"),
    [
        (Hub("acme/none"), None, "There is no repository 'acme/none' at http://127.0.0.1"),
        (Hub(REPO, "v9"), None, "has no revision 'v9'"),
        (Hub("../../etc/passwd"), None, "not the id of a repository"),
        (Hub(REPO), (403, "GatedRepo"), "is gated: accept its terms"),
        (Hub(REPO), (401, "RepoNotFound"), "HF_TOKEN"),
        (Hub(REPO), (418, ""), "failed when asked"),
    ],
)
def test_what_the_hub_refuses_is_said(hub, lock, source, refusal, sentence):
    hub.refusal = refusal
    with pytest.raises(SourceRefused, match=sentence):
        take(lock, source)
    assert not lock.exists()


def test_a_hub_that_cannot_be_reached_is_named_with_what_is_missing(hub, lock, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceRefused, match=r"config\.json of 'acme/tiny'.*http://127\.0\.0\.1:9 cannot be reached"):
        take(lock)


def test_what_is_in_the_cache_needs_no_hub(hub, lock, monkeypatch):
    take(lock)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert take(lock).name == FIRST
    lock.unlink()
    refs = lock.parent / "cache" / "models--acme--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text(FIRST)
    assert take(lock).name == FIRST


def test_a_revision_leads_out_of_the_cache_nowhere(hub, lock, monkeypatch):
    take(lock)
    lock.unlink()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    refs = lock.parent / "cache" / "models--acme--tiny" / "refs"
    refs.mkdir()
    (lock.parent / "elsewhere").write_text(FIRST)
    with pytest.raises(SourceRefused, match=r"config\.json .* is not in the cache"):
        take(lock, Hub(REPO, "../../../elsewhere"))
    assert not lock.exists()


@pytest.fixture
def tiny_bert(tmp_path):
    """A folder as its makers publish it: a random BERT of two layers, its tokenizer, and how its tokens are pooled."""
    import torch

    complete()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    folder = tmp_path / "published"
    folder.mkdir()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=6, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.slow
def test_a_repository_becomes_a_backbone_that_is_locked(hub, tiny_bert, tmp_path):
    hub.files[FIRST] = {**HARMFUL, **{path.name: path.read_bytes() for path in tiny_bert.iterdir()}}
    entry = Entry("mine", "text", "MIT", "of a test", Hub(REPO), Options(pooling="mean", normalise=True))
    stages = []
    card = host(entry, tmp_path / "backbones", lambda *stage: stages.append(stage), pointer=False)
    assert card.taps == {"pooled": (8,)}
    assert list(dict.fromkeys(stage for stage, _ in stages)) == [
        "download", "convert", "verify", "warm", "publish", "hosted",
    ]  # fmt: skip
    shares = [share for _, share in stages]
    assert shares == sorted(shares)
    assert {path.name for path in (tmp_path / "backbones").glob("[!.]*")} == {card.digest, "lock.json"}
    z = embed(open_backbone(tmp_path / "backbones", card.digest, threads=1), ["the cat", "the"])[0]
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_weights_that_do_not_fit_are_refused_and_nothing_is_kept(hub, tiny_bert, tmp_path):
    config = json.loads((tiny_bert / "config.json").read_text())
    (tiny_bert / "config.json").write_text(json.dumps({**config, "hidden_size": 16}))
    hub.files[FIRST] = {path.name: path.read_bytes() for path in tiny_bert.iterdir()}
    entry = Entry("mine", "text", "MIT", "of a test", Hub(REPO))
    with pytest.raises(SourceRefused, match="do not load as bert"):
        host(entry, tmp_path / "backbones", lambda *_: None, pointer=False)
    assert [path.name for path in (tmp_path / "backbones").glob("[!.]*")] == ["lock.json"]


def in_child(env, lock):
    """The same in a fresh process, which reads the library's variables itself."""
    code = (
        "import sys; from pathlib import Path; from models.hub import download; from models.sources import Hub;"
        "from models.errors import SourceRefused\n"
        f"try: print(download(Hub({REPO!r}), Path(sys.argv[1]), lambda _: None))\n"
        "except SourceRefused as error: print(error.message)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(lock)],
        cwd=root,
        env={**kept, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_librarys_own_variables_are_honoured(hub, lock, tmp_path):
    home = tmp_path / "home"
    folder = in_child({"HF_HOME": str(home), "HF_ENDPOINT": hub.url}, lock)
    assert folder == str(home / "hub" / "models--acme--tiny" / "snapshots" / FIRST)
    offline = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub.url}
    hub.asked.clear()
    assert in_child(offline, lock) == folder
    (Path(folder) / "model.safetensors").unlink()
    sentence = in_child(offline, lock)
    assert sentence.startswith("model.safetensors of 'acme/tiny' (main) is not in the cache")
    assert "HF_HUB_OFFLINE forbids" in sentence
    assert "HF_HOME" in sentence
    assert hub.asked == []


def test_offline_with_an_empty_cache_the_first_file_is_named(lock, tmp_path):
    sentence = in_child({"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}, lock)
    assert sentence.startswith("config.json of 'acme/tiny'")


def test_of_two_that_lock_one_revision_at_once_the_first_stays(tmp_path):
    path, first, second = tmp_path / "lock.json", Lock("a" * 40, {"x": "1"}), Lock("b" * 40, {"x": "2"})
    add_lock(path, "owner/name@main", first)
    add_lock(path, "owner/name@main", second)
    add_lock(path, "owner/other@main", second)
    assert read_locks(path) == {"owner/name@main": first, "owner/other@main": second}
