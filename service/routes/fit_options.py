"""What a fit is asked for -> the options of its job, with every default filled in."""

from typing import Any

from adapters.base import Method, Need
from adapters.methods import parse_method
from models.errors import InputError, Problem
from service.errors import BodyInvalid
from service.registry import datasets, signatures
from service.routes.averages import averaged, facts_like
from service.routes.body import parse_json
from service.routes.fit_signatures import check_described, home_of, rowless, signatures_of, told
from service.routes.lineage import parent_version, peft_blobs
from service.routes.state import State
from service.schemas.requests import AdaptForm, AdaptRequest
from service.serving.choose import WORDS, choose

DEFAULT_FIT_S = 60.0
LONG = ("text", "audio")
"""Modalities whose items may be longer than a backbone takes."""

PEFT_METHOD = "lora"
"""The only method that starts from files in PEFT's format."""

Body = AdaptRequest | AdaptForm


def options_of(state: State, body: Body) -> dict[str, Any]:
    """The options that a fit has whatever it is fitted to.

    Raises:
        BodyInvalid: More time is asked for than the operator gives, or options do not go together.
        ParameterInvalid: There is no such method, or it has no such parameter.
    """
    max_seconds = body.max_seconds or min(DEFAULT_FIT_S, state.settings.max_fit_s)
    if max_seconds > state.settings.max_fit_s:
        raise BodyInvalid(
            f"max_seconds is {max_seconds:g}, the limit is {state.settings.max_fit_s:g} (GRAFT_MAX_FIT_S).",
            problems=[Problem(f"at most {state.settings.max_fit_s:g}", pointer="/max_seconds")],
        )
    method = _method(body.method)
    _check_peft(body, method)
    return {
        "method": method.model_dump(mode="json"),
        "seed": body.seed,
        "max_seconds": max_seconds,
        "promote": body.promote,
    }


def options_for(state: State, tenant: str, body: Body, dataset: datasets.Dataset | None) -> dict[str, Any]:
    """The options that depend on the items: the backbone, its tap, what becomes of long items, what is started from.

    Args:
        state: Of the process.
        tenant: Who asks.
        body: What is asked for.
        dataset: The items; None where nothing is learned of any.

    Raises:
        BackboneUnknown: No backbone embeds such items.
        BodyInvalid: An option is for other items, the backbone is, nothing can grow from the parent, or rows are
            needed.
        NotFound: There is no such parent, or there are no such signatures.
        NotReady: The backbone is still being hosted.
    """
    method = _method(body.method)
    if Need.MEMBERS in method.requirements():
        return averaged(state, tenant, body, method, dataset)
    if body.labels:
        raise _refused("labels", f"'labels' are what averaged versions' labels are called; {method.method!r} has none.")
    if len(body.parents) > 1:
        raise BodyInvalid(
            f"{len(body.parents)} versions are named, and a new one grows from one; send that alone, or average them "
            'with "method": "ensemble".',
            problems=[Problem("send one", pointer="/parents")],
        )
    if dataset is not None:
        _check_modality(body, dataset)
    described = signatures_of(state, tenant, body, method, dataset)
    options = _of_items(state, tenant, body, method, dataset, described)
    return options | told(state, tenant, options, described)


def _of_items(
    state: State,
    tenant: str,
    body: Body,
    method: Method,
    dataset: datasets.Dataset | None,
    described: signatures.Record | None,
) -> dict[str, Any]:
    """The backbone of the items, and what a fit to them starts from."""
    if body.parents:
        return _grown(state, tenant, body, dataset, described if Need.SIGNATURES in method.requirements() else None)
    without = {} if dataset is not None else rowless(state, tenant, body.backbone, method, described)
    modality = without["facts"]["modality"] if dataset is None else dataset.facts["modality"]
    if modality not in WORDS:
        return {"backbone": "", "long": "truncate"}
    asked = body.backbone or home_of(described, modality)
    choice = choose(state.backbones.visible(tenant), state.backbones.names, modality, asked)
    options: dict[str, Any] = {
        "backbone": choice.backbone,
        "long": body.long or "truncate",
        "tap": body.tap or "pooled",
    }
    if body.peft is not None:
        options["peft"] = peft_blobs(state, body.peft)
    return options | without | ({"candidates": list(choice.candidates)} if choice.candidates else {})


def _check_peft(body: Body, method: Method) -> None:
    """Refuse a LoRA adapter that nothing would start from."""
    if body.peft is None:
        return
    if body.parents:
        raise _refused(
            "peft", "A fit starts from a LoRA adapter ('peft') or from a version ('parents'); send one of them."
        )
    if method.method != PEFT_METHOD:
        raise _refused(
            "peft",
            f"'peft' is what method {PEFT_METHOD!r} starts from, and the method is {method.method!r}; "
            f'send "method": "{PEFT_METHOD}", or leave \'peft\' out.',
        )


def _check_modality(body: Body, dataset: datasets.Dataset) -> None:
    """Refuse options that such items do not have."""
    modality = dataset.facts["modality"]
    if body.long is not None and modality not in LONG:
        raise _only_for("texts and sounds", "long", dataset)
    if modality not in WORDS:
        for name in ("backbone", "tap", "peft"):
            if getattr(body, name) is not None:
                raise _only_for("texts, images and sounds", name, dataset)


def _grown(
    state: State,
    tenant: str,
    body: Body,
    dataset: datasets.Dataset | None,
    described: signatures.Record | None,
) -> dict[str, Any]:
    """The options of a fit that grows from a version: its backbone, its tap and its way with long items."""
    manifest = parent_version(state, tenant, body.parents[0], dataset).manifest
    name = f"{manifest.name}:{manifest.number}"
    if described is not None:
        check_described(state, described, manifest.classes, name, "name another parent")
    tap = "blocks" if manifest.parts else "pooled"
    for option, asked, theirs in (
        ("backbone", body.backbone, manifest.backbone),
        ("tap", body.tap, tap),
        ("long", body.long, manifest.long),
    ):
        if asked is not None and asked != theirs:
            raise BodyInvalid(
                f"{name} was fitted with {option} {theirs!r}, and what grows from it has the same; leave {option} out.",
                problems=[Problem(f"must be {theirs!r}", pointer=f"/{option}")],
            )
    options: dict[str, Any] = {
        "parents": [name],
        "backbone": manifest.backbone,
        "backbone_digest": manifest.backbone_digest,
        "long": manifest.long,
        "tap": tap,
    }
    return options if dataset is not None else options | {"facts": facts_like(manifest)}


def _only_for(what: str, name: str, dataset: datasets.Dataset) -> BodyInvalid:
    modality = dataset.facts["modality"]
    return BodyInvalid(
        f"Dataset {dataset.id} holds {modality} items, and {name!r} is for {what}; leave it out.",
        problems=[Problem(f"only for {what}", pointer=f"/{name}")],
    )


def _refused(name: str, sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer=f"/{name}")])


def _method(value: Any) -> Method:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = parse_json(value.encode())
    try:
        return parse_method(value)
    except InputError as error:
        inside = [Problem(item.detail, pointer=f"/method{item.pointer or ''}") for item in error.problems]
        raise type(error)(error.message, problems=inside or [Problem(error.message, pointer="/method")]) from None
