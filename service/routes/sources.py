"""What a caller asks to be hosted -> an entry as the worker takes it: names looked up, paths checked, gaps filled."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from models.base import Modality
from models.catalog import Entry, Options, catalog
from models.errors import Problem
from models.sources import Folder, Hub, OnnxFile, Source, Trunk, Words
from service.errors import BodyInvalid
from service.registry.adapters import Version
from service.schemas.backbones import BackboneSource, HostForm, HostRequest

KINDS = ("hub", "path", "words", "catalog", "adapter")
BESIDE = {"hub": {"revision", "timm", "options"}, "path": {"timm", "options"}, "words": {"format"}}
"""Fields of a source that belong to one kind."""

TRUNK_NAME = "trunk.onnx"
"""File of a version that ends in the last hidden layer; methods with such a layer publish it."""

Resolve = Callable[[str], Version]
"""The version that a reference names."""


def entry_of(body: HostRequest, folders: Sequence[Path], resolve: Resolve, trunk_path: Callable[[str], Path]) -> Entry:
    """The entry that a JSON body asks for.

    Args:
        body: Checked against its wire type.
        folders: That the operator allows.
        resolve: Finds a version of the tenant.
        trunk_path: Path of a stored file, by its digest.

    Raises:
        BodyInvalid: The fields do not go together, or a path lies outside the folders.
        BackboneUnknown: The catalogue has no such entry.
        NotFound: The tenant has no such adapter.
    """
    source = body.source or BackboneSource(catalog=body.id)
    kind = _kind(source)
    if kind == "catalog":
        return _catalogued(body, str(source.catalog))
    if kind == "adapter":
        _check_promoted(body)
    made, about = _source(source, kind, folders, resolve, trunk_path)
    return Entry(
        id=body.id,
        modality=_modality(body, source, made, resolve),
        licence=body.licence,
        about=about,
        source=made,
        options=options_of(body),
    )


def form_entry(form: HostForm, graph: Path, tokenizer: Path | None) -> Entry:
    """The entry of an uploaded ONNX file.

    Raises:
        BodyInvalid: A text encoder without a tokenizer, or another one without the name of its input.
    """
    if form.modality == "text" and tokenizer is None:
        raise _wrong("/tokenizer", "A text encoder needs its tokenizer.json as the form's file 'tokenizer'.")
    if form.modality != "text" and not form.input:
        raise _wrong("/input", f"Name the graph's input for {form.modality} items in the form's field 'input'.")
    return Entry(
        id=form.id,
        modality=form.modality,
        licence=form.licence,
        about="an uploaded ONNX file",
        source=OnnxFile(str(graph), form.input, form.output, str(tokenizer) if tokenizer else ""),
        options=options_of(form),
    )


def options_of(body: HostRequest | HostForm) -> Options:
    """What was chosen; what was left out stays open."""
    chosen = {name: getattr(body, name) for name in Options.__dataclass_fields__ if hasattr(body, name)}
    taps = tuple(dict.fromkeys(("pooled", *chosen.get("taps", ()))))  # heads need `pooled`, whatever else is wanted
    return Options(
        **{**chosen, "pooling": chosen.get("pooling") or "", "tower": chosen.get("tower") or "", "taps": taps}
    )


def _kind(source: BackboneSource) -> str:
    given = [kind for kind in KINDS if getattr(source, kind) is not None]
    if len(given) != 1:
        seen = f"names {' and '.join(given)}" if given else "names none"
        raise _wrong("/source", f"A source has exactly one of {', '.join(KINDS)}; this one {seen}.")
    set_ = {name for name in source.model_fields_set if name not in KINDS}
    if odd := sorted(set_ - BESIDE.get(given[0], set())):
        raise _wrong(f"/source/{odd[0]}", f"A source with {given[0]!r} has no {odd[0]!r}; leave it out.")
    return given[0]


def _catalogued(body: HostRequest, name: str) -> Entry:
    known = catalog()
    if name not in known:
        pointer = "/source/catalog" if body.source else "/id"
        raise _wrong(
            pointer,
            f"There is no {name!r} in the catalogue{_meant(name, known)}, which has {', '.join(sorted(known))}. Of "
            'anything else, say the source: {"hub": "owner/name"} or {"path": ...}, or send an ONNX file.',
        )
    if chosen := sorted(body.model_fields_set - {"id", "source"}):
        raise _wrong(
            f"/{chosen[0]}",
            f"An entry of the catalogue is hosted as it is, and {chosen[0]!r} was sent with it; leave it out, or name "
            "the source itself.",
        )
    return replace(known[name], id=body.id)


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=2)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _source(
    source: BackboneSource, kind: str, folders: Sequence[Path], resolve: Resolve, trunk_path: Callable[[str], Path]
) -> tuple[Source, str]:
    """The source, and one line on where it comes from."""
    timm, options = source.timm or "", source.options
    if kind == "hub":
        hub = Hub(str(source.hub), source.revision, timm, options)
        return hub, f"{hub.repo} at {hub.revision or 'main'}, from the Hugging Face hub"
    if kind == "path":
        path = allowed_folder(str(source.path), folders, "/source/path")
        return Folder(str(path), timm, options), f"the folder {path.name}"
    if kind == "words":
        path = _allowed(str(source.words), folders, "/source/words", Path.is_file, "file")
        return Words(str(path), cast(Any, source.format or _format(path))), f"the word vectors {path.name}"
    return _trunk(str(source.adapter), resolve, trunk_path)


def allowed_folder(text: str, folders: Sequence[Path], pointer: str) -> Path:
    """A folder that a caller names, if the operator allows it; see `_allowed`.

    Args:
        text: Its absolute path.
        folders: Those that the operator allows.
        pointer: Where the caller named it.
    """
    return _allowed(text, folders, pointer, Path.is_dir, "folder")


def _allowed(text: str, folders: Sequence[Path], pointer: str, there: Callable[[Path], bool], what: str) -> Path:
    """A path with its links followed, if that lies under an allowed folder.

    Nothing is said of paths elsewhere, not even whether they are there.
    """
    if not folders:
        raise _wrong(
            pointer,
            "No folder is allowed for local sources here; the operator sets GRAFT_BACKBONE_FOLDERS, or use hub.",
        )
    path = Path(text)
    listed = ", ".join(map(str, folders))
    if not path.is_absolute():
        raise _wrong(pointer, f"{text[:200]!r} is not absolute; write the whole path, under {listed}.")
    resolved = path.resolve()
    if not any(resolved.is_relative_to(folder.resolve()) for folder in folders):
        raise _wrong(pointer, f"{text[:200]!r} does not lie under {listed} (GRAFT_BACKBONE_FOLDERS); move it there.")
    if not there(resolved):
        raise _wrong(pointer, f"There is no {what} {text[:200]!r} on the service's machine.")
    return resolved


def _format(path: Path) -> str:
    """What a file of word vectors is, by its name."""
    name = path.name.lower()
    if name.endswith(".bin"):
        return "word2vec-binary"
    return "glove" if "glove" in name else "word2vec-text"


def _check_promoted(body: HostRequest) -> None:
    """Refuse what a trunk cannot be asked for: items are prepared as for the backbone that it stands on."""
    if chosen := sorted(body.model_fields_set - {"id", "source", "modality", "licence", "normalise"}):
        raise _wrong(
            f"/{chosen[0]}",
            f"A promoted adapter takes items as the backbone that it was fitted on does, and {chosen[0]!r} was sent "
            "with it; leave it out.",
        )


def _trunk(reference: str, resolve: Resolve, trunk_path: Callable[[str], Path]) -> tuple[Trunk, str]:
    manifest = resolve(reference).manifest
    name = f"{manifest.name}:{manifest.number}"
    if not manifest.backbone_digest:
        raise _wrong(
            "/source/adapter",
            f"{name} was fitted on {manifest.modality} items, which have no backbone, so there is nothing that its "
            "hidden layer could stand on. Promote an adapter of texts, images or sounds.",
        )
    file = manifest.files.get(TRUNK_NAME)
    if file is None:
        raise _wrong(
            "/source/adapter",
            f"Adapters of method {manifest.method['method']!r} have no hidden layer, so {name} has no trunk that could "
            "become a backbone; fit one with a method that has, such as 'mlp'.",
        )
    path = str(trunk_path(file.sha256))
    return Trunk(name, path, manifest.backbone_digest, manifest.tap, manifest.parts), f"the trunk of the adapter {name}"


def _modality(body: HostRequest, source: BackboneSource, made: Source, resolve: Resolve) -> Modality:
    """What was said, or what can be told before anything is downloaded."""
    if body.modality is not None:
        return body.modality
    if isinstance(made, Trunk):
        return cast(Modality, resolve(str(source.adapter)).manifest.modality)
    if isinstance(made, Words) or body.tower == "text" or body.prefix or body.max_tokens:
        return "text"
    if source.timm or body.tower == "vision" or "size" in body.preprocess:
        return "image"
    if body.max_seconds or "rate" in body.preprocess:
        return "audio"
    if isinstance(made, Folder) and (told := _told_by(Path(made.path))) is not None:
        return told
    raise _wrong("/modality", "Say what the backbone takes: modality is 'text', 'image' or 'audio'.")


def _told_by(folder: Path) -> Modality | None:
    """What a folder in Hugging Face layout says that it takes."""
    steps = _settings(folder / "preprocessor_config.json")
    if "image_processor_type" in steps or "image_mean" in steps:
        return "image"
    if "feature_extractor_type" in steps or "sampling_rate" in steps:
        return "audio"
    return "text" if (folder / "tokenizer.json").is_file() or (folder / "vocab.txt").is_file() else None


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _wrong(pointer: str, sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer=pointer)])
