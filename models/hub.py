"""A repository of the Hugging Face hub -> a local folder with the files that a backbone needs, and no others.

    asked revision -> commit (locked) -> files chosen -> into the hub's own cache -> sha256 (locked)

What a revision meant at the first download is kept in a lock file: a branch that moves, or a file that is replaced,
cannot change a backbone. Files lie in huggingface_hub's cache, and that library reads HF_HOME, HF_HUB_OFFLINE,
HF_ENDPOINT and HF_TOKEN itself. Pickles are never fetched, and no code of a repository is ever run.
"""

import errno
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.errors import GraftError, SourceRefused
from models.locks import Lock, add_lock, read_locks
from models.sources import Hub
from models.weights import CONFIG_NAME, INDEX_NAME, WEIGHTS_NAME, sha256_file, weight_files

MOST_BYTES: Final = 4 * 2**30
"""Of what is downloaded. An ONNX file holds 2 GiB, and a backbone may be one of two towers in a file."""

_TIMEOUT_S: Final = 20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SETTINGS = re.compile(
    r"(config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|preprocessor_config|processor_config"
    r"|modules|sentence_bert_config|config_sentence_transformers|\d+_[A-Za-z]+/config)\.json|vocab\.txt|merges\.txt"
)

OnBytes = Callable[[float], None]
"""Called with the share of all bytes that is here, in [0, 1]."""


@dataclass(frozen=True)
class _Listing:
    """Files of a repository at one commit, with their sizes in bytes."""

    commit: str
    sizes: Mapping[str, int]


def download(source: Hub, lock_path: Path, on_bytes: OnBytes) -> Path:
    """Bring the files of a repository here, or find them in the cache.

    Args:
        source: Repository and revision; None means ``main``.
        lock_path: The lock file; the first download adds an entry, and every later one is held to it.
        on_bytes: Called with the share that is here.

    Returns:
        A folder in the hub's cache with ``config.json`` and safetensors, whose sha256 are the locked ones.

    Raises:
        SourceRefused: There is no such repository or revision, it may not be read, it holds no safetensors, files are
            missing and the hub cannot be asked, or a file is not the locked one.
    """
    key = f"{source.repo}@{source.revision or 'main'}"
    lock = read_locks(lock_path).get(key)
    listing = _locked_listing(source, lock) if lock else _asked(source, lambda: _first_listing(source))
    _asked(source, lambda: _fetch(source, listing, on_bytes))
    folder = _snapshot(source.repo, listing.commit)
    seen = {name: sha256_file(folder / name) for name in listing.sizes}
    if lock:
        _compare(source, folder, lock, seen)
    else:
        _check_index(source, folder, seen)
        add_lock(lock_path, key, Lock(listing.commit, seen))
    on_bytes(1.0)
    return folder


def _asked(source: Hub, ask: Callable[[], Any]) -> Any:
    """What the hub answers; whatever goes wrong there becomes a sentence."""
    try:
        return ask()
    except GraftError:
        raise
    except Exception as error:  # huggingface_hub raises errors of its HTTP client, of the system and of its own
        raise SourceRefused(_sentence(source, error)) from error


def _first_listing(source: Hub) -> _Listing:
    """The files to take, as the hub lists them; as the cache does where the hub cannot be asked."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    revision = source.revision or "main"
    try:
        listing = _online_listing(source.repo, revision)
    except (HfHubHTTPError, HFValidationError):
        raise  # the hub has answered, or would not even be asked
    except Exception as error:
        listing = _cached_listing(source, revision, error)
    where = f"The repository {source.repo!r} ({revision})"
    weights = weight_files(listing.sizes, where, config=not source.timm)
    taken = sorted({*weights, *filter(_SETTINGS.fullmatch, listing.sizes)})
    total = sum(listing.sizes[name] for name in taken)
    if total > MOST_BYTES:
        raise SourceRefused(
            f"{where} holds {total / 2**30:.1f} GiB of weights and settings; at most {MOST_BYTES / 2**30:.0f} GiB are "
            "taken. Use a smaller encoder."
        )
    return _Listing(listing.commit, {name: listing.sizes[name] for name in taken})


def _online_listing(repo: str, revision: str) -> _Listing:
    from huggingface_hub import HfApi

    info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
    if not _COMMIT.fullmatch(str(info.sha)):
        raise SourceRefused(f"The hub gave {str(info.sha)[:80]!r} as the commit of {repo!r}, which is none.")
    return _Listing(str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()})


def _cached_listing(source: Hub, revision: str, error: Exception) -> _Listing:
    """What an earlier download left in the cache, if it is enough."""
    commit = revision if _COMMIT.fullmatch(revision) else _cached_commit(source.repo, revision)
    folder = _snapshot(source.repo, commit)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] if commit else []
    for name in ((CONFIG_NAME,) if not source.timm else ()) + ((WEIGHTS_NAME,) if INDEX_NAME not in names else ()):
        if name not in names:
            raise SourceRefused(_offline_sentence(source, name, error)) from error
    return _Listing(commit, {name: (folder / name).stat().st_size for name in names})


def _cached_commit(repo: str, revision: str) -> str:
    """The commit that the cache remembers for a branch or tag; empty where it remembers none.

    A revision is somebody's text: one that leads out of the folder of names is none, whatever lies there.
    """
    names = _snapshot(repo, "").parent / "refs"
    path = (names / revision).resolve()
    if not path.is_relative_to(names.resolve()) or not path.is_file():
        return ""
    commit = path.read_text(encoding="utf-8").strip()
    return commit if _COMMIT.fullmatch(commit) else ""


def _locked_listing(source: Hub, lock: Lock) -> _Listing:
    """The locked files; the hub is asked for sizes, and only when one is missing."""
    folder = _snapshot(source.repo, lock.commit)
    if all((folder / name).is_file() for name in lock.files):
        return _Listing(lock.commit, dict.fromkeys(lock.files, 0))
    sizes = _asked(source, lambda: _online_sizes(source, lock, folder))
    return _Listing(lock.commit, {name: sizes.get(name, 0) for name in lock.files})


def _online_sizes(source: Hub, lock: Lock, folder: Path) -> Mapping[str, int]:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return _online_listing(source.repo, lock.commit).sizes
    except HfHubHTTPError:
        raise
    except Exception as error:
        missing = next(name for name in sorted(lock.files) if not (folder / name).is_file())
        raise SourceRefused(_offline_sentence(source, missing, error)) from error


def _fetch(source: Hub, listing: _Listing, on_bytes: OnBytes) -> None:
    """Download what is not in the cache yet, file by file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    total, done = max(1, sum(listing.sizes.values())), 0
    for name, size in listing.sizes.items():
        on_bytes(min(1.0, done / total))
        bar = _bar(on_bytes, done, size, total)
        try:
            hf_hub_download(source.repo, name, revision=listing.commit, tqdm_class=bar)
        except LocalEntryNotFoundError as error:
            raise SourceRefused(_offline_sentence(source, name, error)) from error
        done += size


def _bar(on_bytes: OnBytes, done: int, size: int, total: int) -> type[Any]:
    """A progress bar that draws nothing and tells the share that is here, with `done` bytes before this file."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
            self.here = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            self.here += int(n or 0)
            on_bytes(min(1.0, (done + min(self.here, size)) / total))
            return None

    return Bar


def _snapshot(repo: str, commit: str) -> Path:
    """Folder of a commit in the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots" / commit


def _compare(source: Hub, folder: Path, lock: Lock, seen: Mapping[str, str]) -> None:
    for name, sha256 in lock.files.items():
        if seen[name] != sha256:
            raise SourceRefused(
                f"{name} of {source.repo!r} has sha256 {seen[name]}, but {sha256} was locked at the first download. "
                f"Delete {folder} and try again; if the hub now gives another file for one commit, do not trust it."
            )


def _check_index(source: Hub, folder: Path, names: Collection[str]) -> None:
    """Every shard that the index names is here."""
    import json

    if INDEX_NAME not in names:
        return
    wanted = set(json.loads((folder / INDEX_NAME).read_text(encoding="utf-8")).get("weight_map", {}).values())
    if missing := sorted(wanted - set(names)):
        raise SourceRefused(f"{source.repo!r} has no {missing[0]}, which its {INDEX_NAME} names. Use another revision.")


def _offline_sentence(source: Hub, missing: str, error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    lacks = f"{missing} of {source.repo!r} ({source.revision or 'main'}) is not in the cache {constants.HF_HUB_CACHE}"
    remedy = f"fill the cache with `hf download {source.repo}` where there is a network, with the same HF_HOME"
    if isinstance(error, OfflineModeIsEnabled) or isinstance(error.__cause__, OfflineModeIsEnabled):
        return f"{lacks}, and HF_HUB_OFFLINE forbids to fetch it. Unset HF_HUB_OFFLINE, or {remedy}."
    return (
        f"{lacks}, and the hub at {constants.ENDPOINT} cannot be reached ({type(error).__name__}). Check the network "
        f"and HF_ENDPOINT, or {remedy}."
    )


def _sentence(source: Hub, error: Exception) -> str:
    from huggingface_hub import constants, errors

    repo, revision, hub = f"{source.repo[:100]!r}", f"{(source.revision or 'main')[:100]!r}", constants.ENDPOINT
    reasons: dict[type[Exception], str] = {  # a class stands before those that it is one of
        errors.GatedRepoError: f"{repo} is gated: accept its terms at {hub} and set HF_TOKEN where the worker runs.",
        errors.RevisionNotFoundError: f"{repo} has no revision {revision}. Give a branch, tag or commit that it has, "
        "or leave the revision out.",
        errors.RepositoryNotFoundError: f"There is no repository {repo} at {hub}, or it is private. Check its name, or "
        "set HF_TOKEN where the worker runs.",
        errors.HFValidationError: f"{repo} is not the id of a repository. Give it as owner/name.",
        errors.HfHubHTTPError: f"The hub at {hub} failed when asked for {repo} ({str(error)[:100]}). Try again later.",
    }
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk of the cache {constants.HF_HUB_CACHE} is full. Make room, or move HF_HOME."
    other = f"{repo} could not be downloaded from {hub} ({type(error).__name__}: {str(error)[:200]}). Try again."
    return next((reason for kind, reason in reasons.items() if isinstance(error, kind)), other)
