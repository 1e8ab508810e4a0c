"""What a fit starts from: a version to grow from, or the files of a LoRA adapter."""

import json
from pathlib import Path
from typing import Any

from adapters.manifest import Manifest
from models.errors import Problem
from service.errors import BodyInvalid
from service.registry import adapters, datasets
from service.registry.adapters import Version
from service.routes.sources import allowed_folder
from service.routes.state import State
from service.serving.references import parse

PEFT_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What PEFT writes of an adapter."""

MOST_PEFT_BYTES = 2**30


def named_version(state: State, tenant: str, reference: str) -> Version:
    """The version that a reference names now.

    Args:
        state: Of the process.
        tenant: Whose it is.
        reference: ``name``, ``name@alias`` or ``name:3``.

    Raises:
        NotFound: There is no such version.
    """
    asked = parse(reference)
    adapter = adapters.get(state.engine, tenant, asked.name)
    aliases = {name: alias.version for name, alias in adapter.aliases.items()}
    return adapters.get_version(adapter, asked.pick(aliases, tuple(adapter.versions)))


def parent_version(state: State, tenant: str, reference: str, dataset: datasets.Dataset | None) -> Version:
    """The version that a new one grows from, or whose answers it averages.

    Args:
        state: Of the process.
        tenant: Whose it is.
        reference: See `named_version`.
        dataset: What the new one is fitted to; None where it learns of no rows.

    Raises:
        NotFound: There is no such version.
        BodyInvalid: Nothing can grow from it, or not with this dataset.
    """
    version = named_version(state, tenant, reference)
    manifest = version.manifest
    name = f"{manifest.name}:{manifest.number}"
    if (why := _why_not(manifest)) is not None:
        raise _refused(f"Nothing can grow from {name}: {why}")
    if dataset is not None:
        _check_dataset(name, manifest, dataset)
    return version


def _check_dataset(name: str, manifest: Manifest, dataset: datasets.Dataset) -> None:
    for what, theirs, ours in (
        ("modality", manifest.modality, dataset.facts["modality"]),
        ("task", manifest.task, dataset.facts["task"]),
    ):
        if theirs != ours:
            raise _refused(f"{name} is of {what} {theirs!r} and dataset {dataset.id} of {ours!r}; name another parent.")
    if manifest.modality == "vector" and manifest.width != dataset.facts["width"]:
        raise _refused(
            f"{name} takes vectors of {manifest.width} numbers and dataset {dataset.id} has {dataset.facts['width']}."
        )


def _why_not(manifest: Manifest) -> str | None:
    """Why nothing can grow from a version, and what to do instead; None where something can."""
    if not manifest.classes:
        return "it answers with a number, and only versions with classes are carried on. Fit a new one to all rows."
    if manifest.modality == "table":
        return "how rows of a table become numbers is learned with each fit anew. Fit a new one to all rows."
    if manifest.kind != "affine" or "map.safetensors" in manifest.files:
        return (
            f"method {manifest.method['method']!r} made it, and a version is carried on from a head that is one layer "
            "of classes on the embedding. Fit the parent with logistic, ridge, lda or prototype."
        )
    return None


def _refused(sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer="/parents/0")])


def peft_blobs(state: State, folder: str) -> dict[str, str]:
    """The files of a LoRA adapter, kept with everything else that is stored.

    Returns:
        Digest of each file's blob, by its name.

    Raises:
        BodyInvalid: The folder is not allowed, or has no adapter in PEFT's format.
    """
    path = allowed_folder(folder, state.settings.backbone_folders, "/peft")
    missing = [name for name in PEFT_FILES if not (path / name).is_file()]
    if missing:
        raise _wrong(
            f"{folder[:200]!r} lacks {' and '.join(missing)}: PEFT's save_pretrained writes both. Files of other "
            "formats (such as .bin) are never read."
        )
    return {name: state.blobs.put(_read(path / name)).digest for name in PEFT_FILES}


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_PEFT_BYTES:
        raise _wrong(f"{path.name} has {path.stat().st_size:,} bytes; at most {MOST_PEFT_BYTES:,} are read.")
    data = path.read_bytes()
    if path.suffix == ".json":
        _check_json(data)
    return data


def _check_json(data: bytes) -> None:
    try:
        config: Any = json.loads(data)
    except (ValueError, RecursionError) as error:  # the latter of lists in lists in lists
        raise _wrong(f"{PEFT_FILES[0]} is not JSON: {error}.") from None
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if kind != "LORA":
        raise _wrong(f"{PEFT_FILES[0]} is of peft_type {str(kind)[:100]!r}; LORA is read.")


def _wrong(sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer="/peft")])
