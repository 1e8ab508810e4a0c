"""What an average of published versions is asked for -> the options of its job."""

from collections.abc import Mapping
from typing import Any

from adapters.base import Method
from adapters.manifest import Manifest
from models.errors import Problem
from service.errors import BodyInvalid
from service.registry import datasets
from service.routes.lineage import named_version
from service.routes.state import State
from service.schemas.requests import AdaptForm, AdaptRequest

FEWEST = 2
EMBEDDED = frozenset({"pooled", "blocks", "vector"})
"""Taps at which an item is one embedding, so that versions can stand side by side in one graph."""


def averaged(
    state: State,
    tenant: str,
    body: AdaptRequest | AdaptForm,
    method: Method,
    dataset: datasets.Dataset | None,
) -> dict[str, Any]:
    """The options of an average.

    Raises:
        NotFound: There is no such version.
        BodyInvalid: The versions cannot be averaged, or nothing says how.
    """
    for name in ("backbone", "tap", "peft", "long", "signatures"):
        if getattr(body, name) is not None:
            raise _refused(f"/{name}", f"Each version that is averaged brings its own {name}; leave {name!r} out.")
    weights = getattr(method, "weights", None)
    if len(body.parents) < FEWEST:
        named = "1 version is named" if len(body.parents) == 1 else "No version is named"
        raise _refused("/parents", f"{named}, and an average has at least {FEWEST}; name them in 'parents'.")
    if weights is not None and len(weights) != len(body.parents):
        raise _refused(
            "/method/weights",
            f"There are {len(weights)} weight(s) for {len(body.parents)} versions; give one for each.",
        )
    if dataset is None and weights is None:
        raise _refused(
            "/dataset",
            "Weights are learned from labelled items, and none were named; send 'dataset', or 'weights' in the method.",
        )
    manifests = [named_version(state, tenant, reference).manifest for reference in body.parents]
    maps = _maps(body, manifests)
    references = [ref_of(manifest) for manifest in manifests]
    members = [{"ref": ref, "labels": labels} for ref, labels in zip(references, maps, strict=True)]
    _check_repeats(references)
    _check_alike(manifests, dataset)
    _check_labels(manifests, maps)
    first = manifests[0]
    options: dict[str, Any] = {
        "members": members,
        "backbone": first.backbone,
        "backbone_digest": first.backbone_digest,
        "long": first.long,
        "tap": "blocks" if first.parts else "pooled",
    }
    if dataset is None:
        options["facts"] = facts_like(first)
    return options


def ref_of(manifest: Manifest) -> str:
    """``name:3``."""
    return f"{manifest.name}:{manifest.number}"


def facts_like(manifest: Manifest) -> dict[str, Any]:
    """What is known of items that a version takes, where no dataset says it."""
    facts: dict[str, Any] = {"modality": manifest.modality, "task": manifest.task}
    return facts | ({"width": manifest.width} if manifest.modality == "vector" else {})


def _maps(body: AdaptRequest | AdaptForm, manifests: list[Manifest]) -> list[dict[str, str | None]]:
    """What each version's labels are called."""
    asked = dict(zip(body.parents, manifests, strict=True))
    for reference, labels in body.labels.items():
        if reference not in asked:
            raise _refused(
                "/labels", f"'labels' names {reference[:100]!r}, which is none of the versions that are averaged."
            )
        unknown = [name for name in labels if name not in asked[reference].classes]
        if unknown:
            own = _some(set(asked[reference].classes))
            raise _refused("/labels", f"{reference} has no label {unknown[0][:100]!r}; it has {own}.")
        if empty := [name for name, called in labels.items() if called is not None and not called.strip()]:
            raise _refused("/labels", f"Label {empty[0][:100]!r} of {reference} is to be called nothing; name it.")
    return [dict(body.labels.get(reference, {})) for reference in body.parents]


def _check_repeats(references: list[str]) -> None:
    repeated = [reference for reference in references if references.count(reference) > 1]
    if repeated:
        raise _refused("/parents", f"{repeated[0]} is named more than once; give it a larger weight instead.")


def _check_alike(manifests: list[Manifest], dataset: datasets.Dataset | None) -> None:
    first = manifests[0]
    for place, manifest in enumerate(manifests):
        ref = ref_of(manifest)
        if manifest.backbones:
            raise _refused(
                f"/parents/{place}",
                f"{ref} is itself an average over {len(manifest.backbones)} backbones; name the versions that it "
                f"averages ({', '.join(manifest.parents)}) instead.",
            )
        if manifest.tap not in EMBEDDED:
            why = (
                "takes rows of a table, whose columns each version encodes for itself"
                if manifest.tap == "row"
                else "is a part of its backbone"
            )
            raise _refused(f"/parents/{place}", f"{ref} {why}, and is not averaged; name heads on embeddings.")
        for what in ("modality", "task"):
            ours = getattr(first, what) if dataset is None else dataset.facts[what]
            if getattr(manifest, what) != ours:
                raise _refused(
                    f"/parents/{place}",
                    f"{ref} is of {what} {getattr(manifest, what)!r}, and the others or the dataset are of {ours!r}.",
                )
        if manifest.modality == "vector":
            width = first.width if dataset is None else dataset.facts["width"]
            if manifest.width != width:
                raise _refused(f"/parents/{place}", f"{ref} takes vectors of {manifest.width} numbers, not of {width}.")


def _check_labels(manifests: list[Manifest], maps: list[dict[str, str | None]]) -> None:
    """Refuse a version that shares no label with any other."""
    if not manifests[0].classes:
        return
    called = [_called(manifest, labels) for manifest, labels in zip(manifests, maps, strict=True)]
    for place, (manifest, own) in enumerate(zip(manifests, called, strict=True)):
        others = set().union(*(names for at, names in enumerate(called) if at != place))
        if not own & others:
            other = next(ref_of(m) for at, m in enumerate(manifests) if at != place)
            raise _refused(
                f"/parents/{place}",
                f"{ref_of(manifest)} answers {_some(own)} and {other} {_some(others)}: they have no label in common, "
                "so there is nothing to average. Say in 'labels' which are the same.",
            )


def _called(manifest: Manifest, labels: Mapping[str, str | None]) -> set[str]:
    return {name for name in (labels.get(label, label) for label in manifest.classes) if name is not None}


def _some(names: set[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in sorted(names)[:3])
    return f"{shown}{', ...' if len(names) > 3 else ''}" if names else "nothing"


def _refused(pointer: str, sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer=pointer)])
