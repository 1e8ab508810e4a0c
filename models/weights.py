"""Weights on disk: where they lie, and whether they are the recorded ones. Safetensors only, never a pickle."""

import hashlib
import re
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from models.errors import ExportFailed, SourceRefused, WeightsCorrupt
from models.sources import Folder, Package

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "model.safetensors"
INDEX_NAME: Final = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file. Cost: 0.07 s for 90 MB on a processor with SHA instructions, 0.3 s without."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with the digest that was recorded for it.

    Raises:
        WeightsCorrupt: The file is missing, or its content is another.
    """
    if not path.is_file():
        raise WeightsCorrupt(f"{path} is missing; sha256 {expected} was recorded. Host the backbone again.")
    seen = sha256_file(path)
    if seen != expected:
        raise WeightsCorrupt(
            f"{path} has sha256 {seen}, but {expected} was recorded. Delete it and install or host it again."
        )


def weights_folder(source: Package) -> Path:
    """Folder (Hugging Face layout) with the weights of a package, checked.

    The package is located, never imported: importing it would run its code and bring sentence-transformers along.

    Raises:
        ExportFailed: The package is not installed.
        WeightsCorrupt: ``model.safetensors`` is missing or is not the recorded one.
    """
    spec = find_spec(source.package)
    if spec is None or spec.origin is None:
        raise ExportFailed(
            f"This backbone needs the package {source.package!r}, which is not installed. "
            "Install the extra `fit` where the worker runs."
        )
    folder = Path(spec.origin).parent / source.subfolder
    check_sha256(folder / WEIGHTS_NAME, source.sha256)
    return folder


def local_folder(source: Folder) -> Path:
    """A local folder of weights, checked for what a backbone needs. Whether it is allowed was checked before.

    Raises:
        SourceRefused: It does not exist, is no folder, lacks a configuration or safetensors, or a file in it is a link
            to somewhere else.
    """
    folder = Path(source.path)
    if not folder.is_dir():
        raise SourceRefused(f"{folder} is not a folder on the machine where the worker runs. Give a folder of weights.")
    names = {path.name for path in folder.iterdir()}
    for name in (*weight_files(names, str(folder), config=not source.timm), *(names & {CONFIG_NAME})):
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise SourceRefused(
                f"{folder / name} is a link to a file outside of its folder. Copy the files themselves into the folder."
            )
    return folder


def weight_files(names: Collection[str], where: str, *, config: bool = True) -> tuple[str, ...]:
    """Of the files of a folder or repository, those with its weights: one file, or an index and its shards.

    Args:
        names: Of all files.
        where: Of what, in words, for messages.
        config: Whether ``config.json`` must be there.

    Raises:
        SourceRefused: There are none, or pickles only, or no configuration.
    """
    if config and CONFIG_NAME not in names:
        raise SourceRefused(
            f"{where} has no {CONFIG_NAME}, so the architecture of its weights is unknown. Add the file, or name an "
            "architecture of timm."
        )
    if WEIGHTS_NAME in names:
        return (WEIGHTS_NAME,)
    if INDEX_NAME in names:
        return (INDEX_NAME, *sorted(name for name in names if _SHARD.fullmatch(name)))
    if pickles := sorted(name for name in names if name.endswith(_PICKLES)):
        raise SourceRefused(
            f"{where} holds its weights as pickles only ({', '.join(pickles[:3])}). Loading a pickle can run any code, "
            f"so none is read. Use one with {WEIGHTS_NAME}: many repositories have it in a revision such as refs/pr/1."
        )
    others = sorted(name for name in names if name.endswith(".safetensors"))
    found = f"; it has {', '.join(others[:3])}" if others else ""
    raise SourceRefused(f"{where} has no {WEIGHTS_NAME}{found}. Name the file of weights so, or use another source.")


def weights_sha256(folder: Path) -> str:
    """sha256 (hex) of the weights in a checked folder; of the sorted lines "name sha256" where they lie in shards."""
    if (folder / WEIGHTS_NAME).is_file():
        return sha256_file(folder / WEIGHTS_NAME)
    shards = sorted(path for path in folder.iterdir() if _SHARD.fullmatch(path.name))
    lines = "".join(f"{path.name} {sha256_file(path)}\n" for path in shards)
    return hashlib.sha256(lines.encode()).hexdigest()


def digest_of(files: dict[str, str]) -> str:
    """Digest of a backbone: sha256 (hex) over the sorted lines "name sha256" of its files."""
    lines = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
