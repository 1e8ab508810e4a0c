"""Signatures of a fit: which classes it answers, and whether they say what the classes are called."""

from collections.abc import Collection
from typing import Any

from adapters.base import Method, Need
from models.errors import BackboneUnknown, Problem
from service.errors import BodyInvalid, NotFound
from service.registry import adapters, datasets, signatures
from service.routes.state import State
from service.schemas.requests import AdaptForm, AdaptRequest
from service.serving.choose import AUTO
from service.serving.towers import same_space

ROWLESS = frozenset({"names", "conse", "iap"})
"""Methods that can answer without having learned of a row: of texts alone, or of another version's answers."""


def signatures_of(
    state: State,
    tenant: str,
    body: AdaptRequest | AdaptForm,
    method: Method,
    dataset: datasets.Dataset | None,
) -> signatures.Record | None:
    """The signatures that are named, or the words that the adapter is live with.

    Raises:
        NotFound: There are none of that id.
        BodyInvalid: The method learns nothing of signatures, the items have numbers, or the method needs rows.
    """
    needs = method.requirements()
    if body.signatures is None:
        if dataset is None:
            raise _refused("dataset", f"'dataset' is missing: {method.method!r} learns of labelled items. Name one.")
        if Need.SIGNATURES in needs:
            raise _refused(
                "signatures",
                f"'signatures' is missing: {method.method!r} tells classes by what describes them. POST /v1/signatures "
                "takes a table of classes and attributes, or texts of classes; name what it answers.",
            )
        named = method.method == "auto" or Need.NAMES in needs
        return live_words(state, tenant, body.name, dataset) if named and not body.parents else None
    record = signatures.get(state.engine, tenant, body.signatures)
    if not needs & {Need.SIGNATURES, Need.NAMES} and method.method != "auto":
        raise _refused(
            "signatures",
            f"{method.method!r} learns nothing of signatures; leave them out, or use auto, blend, eszsl, sae, dap, "
            "iap, conse or names.",
        )
    if dataset is None:
        if not (method.method in ROWLESS and (body.parents or method.method == "names")):
            raise _refused(
                "dataset",
                f"'dataset' is missing: {method.method!r} learns of labelled items. Without any, use 'names' with "
                "signatures made of texts, or 'conse' with 'parents'.",
            )
        return record
    if dataset.facts["task"] == "regression":
        raise _refused("signatures", f"Signatures tell classes, and dataset {dataset.id} has numbers to predict.")
    _check_classes(state, record, dataset)
    return record


def _check_classes(state: State, record: signatures.Record, dataset: datasets.Dataset) -> None:
    """Every class of the rows must be described; of rows with several labels these are attributes."""
    if dataset.facts["task"] != "classification":
        return
    check_described(state, record, dataset.facts["classes"], dataset.id, "leave their examples out")


def check_described(
    state: State, record: signatures.Record, classes: Collection[str], whose: str, otherwise: str
) -> None:
    """Refuse signatures without a row for each of some classes. Blocks.

    Args:
        state: Of the process.
        record: The signatures.
        classes: What must be described.
        whose: What these are the classes of, for the message.
        otherwise: What else helps but to describe them.

    Raises:
        BodyInvalid: A class has no row.
    """
    known = set(signatures.load(state.blobs, record).classes)
    lacking = [name for name in classes if name not in known]
    if lacking:
        shown = ", ".join(repr(name[:60]) for name in lacking[:5])
        raise _refused(
            "signatures",
            f"{record.id} has no row for {len(lacking)} of the {len(classes)} classes of {whose}: {shown}"
            f"{', ...' if lacking[5:] else ''}. Describe them too, or {otherwise}.",
        )


def live_words(state: State, tenant: str, name: str, dataset: datasets.Dataset) -> signatures.Record | None:
    """The words for the classes that an adapter is live with, where they are those of the dataset.

    So that what began with words alone goes on with them when there are examples: they may say more than the labels.
    """
    try:
        adapter = adapters.get(state.engine, tenant, name)
        live = adapters.get_version(adapter, adapter.aliases[adapters.LIVE].version).manifest
    except (NotFound, KeyError):
        return None
    record = signatures.find(state.engine, tenant, live.signatures) if live.signatures else None
    if record is None or not record.facts["space"] or set(live.classes) != set(dataset.facts["classes"]):
        return None
    return record


def home_of(record: signatures.Record | None, modality: str) -> str | None:
    """The backbone that embedded signatures made of texts, which is the obvious one for texts; None of others."""
    if record is None or modality != "text" or not record.facts["space"]:
        return None
    return str(record.facts["backbone"])


def rowless(
    state: State, tenant: str, backbone: str | None, method: Method, record: signatures.Record | None
) -> dict[str, Any]:
    """The facts of items that there are none of yet: what the backbone takes.

    Raises:
        BackboneUnknown: There is no such backbone.
        BodyInvalid: The signatures are attributes, which say nothing without rows.
    """
    facts = {} if record is None else record.facts
    if not facts.get("space"):
        raise _refused(
            "signatures",
            f"{method.method!r} has neither rows nor texts to tell classes by: the signatures are attributes. Send "
            "'dataset', or signatures made of labels or descriptions.",
        )
    name = backbone if backbone not in (None, AUTO) else facts["backbone"]
    standing = next((one for one in state.backbones.visible(tenant) if one.id == name), None)
    if standing is None or standing.modality is None:
        raise BackboneUnknown(
            f"There is no backbone {str(name)[:100]!r} ready here; GET /v1/backbones lists those there are.",
            problems=[Problem("no such backbone", pointer="/backbone")],
        )
    return {"facts": {"modality": standing.modality, "task": "classification"}, "backbone": name}


def told(state: State, tenant: str, options: dict[str, Any], record: signatures.Record | None) -> dict[str, Any]:
    """What the job is told of signatures: their id, and whether they lie in the backbone's own space."""
    if record is None:
        return {}
    space, standings = record.facts["space"], state.backbones.visible(tenant)
    card = next((one.card for one in standings if one.id == options["backbone"]), None)
    described = card is not None and same_space(standings, space, card.digest)
    return {"signatures": record.id, "described": described}


def _refused(name: str, sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer=f"/{name}")])
