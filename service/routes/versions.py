"""/v1/adapters/{name}/versions: versions that need no fit, in the time that a file takes to write."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from adapters.manifest import Manifest
from adapters.methods import parse_method
from adapters.signatures import Signatures
from adapters.zero_shot.head import FILE_NAME, SignatureHead
from models.errors import InputError, Problem
from service.errors import BodyInvalid
from service.registry import adapters, jobs, requests, signatures
from service.registry.deriving import Derived, make, nothing_of, retold
from service.routes.body import check, json_body
from service.routes.described import Asked, made_of
from service.routes.openapi import problems, takes
from service.routes.state import Fitter, Graft, IdempotencyKey, State
from service.schemas.answers import VersionOut
from service.schemas.requests import Name, VersionRequest
from service.schemas.signatures import SignaturesRequest
from service.serving.one_off import of_words
from service.serving.towers import same_space

router = APIRouter(prefix="/v1/adapters", tags=["adapters"])

_UNMEASURED = (
    "Nothing was fitted or measured for these classes: probabilities are as sharp as those of the version that it was "
    "made from, or as the method's default says."
)


@router.post(
    "/{name}/versions",
    status_code=201,
    response_model=VersionOut,
    summary="Make a version without a fit",
    responses=problems(400, 404, 409, 413, 415, 422, 507),
    openapi_extra=takes(VersionRequest),
)
async def make_version(
    state: Graft,
    tenant: Fitter,
    name: Name,
    body: Annotated[VersionRequest, Depends(json_body(VersionRequest))],
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Make a version in milliseconds.

    With `from` and `signatures`: what that version learned, with other classes. With `labels` (or `signatures` made of
    texts) and `backbone`: classes told by their names or descriptions alone, before there is any example.
    """
    key = requests.key_of(tenant, idempotency_key, state.clock(), "versions", name, body.model_dump_json())
    known = await run_in_threadpool(requests.recall, state.engine, key)
    if known is None:
        derived = await _derived(state, tenant, name, body)
        number = await run_in_threadpool(_make, state, derived, key)
    else:
        number = int((await run_in_threadpool(jobs.get, state.engine, tenant, known)).version or 0)
    await run_in_threadpool(state.directory.refresh)
    adapter = await run_in_threadpool(adapters.get, state.engine, tenant, name)
    return JSONResponse(
        VersionOut.of(adapter, number).model_dump(mode="json"),
        201,
        {"Location": f"/v1/adapters/{name}/versions/{number}"},
    )


@dataclass(frozen=True)
class _Told:
    """Classes and what tells them."""

    record: signatures.Record
    signatures: Signatures


async def _derived(state: State, tenant: str, name: str, body: VersionRequest) -> Derived:
    if (body.signatures is None) == (body.labels is None):
        raise _refused("/signatures", "Classes are told by 'signatures' or by 'labels'; send one of them.")
    if body.signatures is not None and body.templates is not None:
        raise _refused("/templates", "'templates' are for 'labels', and signatures are made already; leave them out.")
    if body.from_ is not None:
        return await _from_version(state, tenant, name, body)
    if body.labels is not None:
        told = await _of_labels(state, tenant, body)
    else:
        told = await run_in_threadpool(_stored, state, tenant, str(body.signatures))
    return await run_in_threadpool(_of_words, state, tenant, name, body, told)


async def _from_version(state: State, tenant: str, name: str, body: VersionRequest) -> Derived:
    for option in ("backbone", "long"):
        if getattr(body, option) is not None:
            raise _refused(f"/{option}", f"The new version has the {option} of the one that it is made from.")
    adapter = await run_in_threadpool(adapters.get, state.engine, tenant, name)
    manifest = adapters.get_version(adapter, int(body.from_ or 0)).manifest
    reference = f"{name}:{manifest.number}"
    if FILE_NAME not in manifest.files:
        raise _refused(
            "/from",
            f"{reference} was made by {manifest.method['method']!r}, which knows classes by their examples alone; only "
            "what tells classes by signatures (eszsl, sae, dap, iap, conse, names, blend) can be given others.",
        )
    if body.labels is not None:
        await run_in_threadpool(_check_words, state, manifest)
        told = await _of_labels(state, tenant, body, manifest.backbone)
    else:
        told = await run_in_threadpool(_stored, state, tenant, str(body.signatures))
    return await run_in_threadpool(_retold, state, tenant, manifest, body, told)


def _check_words(state: State, manifest: Manifest) -> None:
    """Refuse labels where classes are told by attributes, or items are vectors: before anything is kept. Blocks."""
    if not manifest.backbone:
        raise _refused(
            "/labels",
            f"{manifest.name}:{manifest.number} takes {manifest.modality} items, which no backbone here embeds, nor "
            "any labels beside them. Send 'signatures' (POST /v1/signatures).",
        )
    own = SignatureHead.from_bytes(state.blobs.get(manifest.files[FILE_NAME].sha256)).signatures
    if not of_words(own):
        raise _refused(
            "/labels",
            f"{manifest.name}:{manifest.number} tells classes by {len(own.attributes)} attributes, of which labels say "
            "nothing. Send 'signatures' with these attributes (POST /v1/signatures).",
        )


def _retold(state: State, tenant: str, manifest: Manifest, body: VersionRequest, told: _Told) -> Derived:
    """What a version learned, with other classes. Blocks."""
    before = SignatureHead.from_bytes(state.blobs.get(manifest.files[FILE_NAME].sha256))
    head = _with(before, told.signatures, "/labels" if body.signatures is None else "/signatures")
    request = {"from": f"{manifest.name}:{manifest.number}", "signatures": told.record.id}
    new = [name for name in head.classes if name not in set(before.classes)]
    gone = [name for name in before.classes if name not in set(head.classes)]
    notes = (
        f"Made from {request['from']} without a fit: {len(head.classes)} classes, {len(new)} of them new and "
        f"{len(gone)} of its own left out; examples of {int(head.seen.sum())} were seen.",
        _UNMEASURED,
    )
    return Derived(tenant, head, retold(manifest, head, told.record.id, request), request, notes, body.promote)


def _with(head: SignatureHead, told: Signatures, pointer: str) -> SignatureHead:
    try:
        return head.with_signatures(told)
    except InputError as error:
        raise type(error)(error.message, problems=[Problem(error.message, pointer=pointer)]) from None


def _of_words(state: State, tenant: str, name: str, body: VersionRequest, told: _Told) -> Derived:
    """Classes told by words alone, in the space of a backbone. Blocks."""
    if not told.signatures.space:
        raise _refused(
            "/signatures",
            "These signatures are attributes, and what an item's attributes are is learned of examples. Fit a version "
            "with them (POST /v1/adapters), or send signatures made of labels or descriptions.",
        )
    backbone = body.backbone or str(told.record.facts["backbone"])
    standing = state.backbones.find(tenant, backbone)
    if standing.card is None or not same_space(
        state.backbones.visible(tenant), told.signatures.space, standing.card.digest
    ):
        raise _refused(
            "/backbone",
            f"The signatures are texts as {told.record.facts['backbone']} embeds them, which is not the space of "
            f"{backbone!r}. Name the backbone that they were made with, or make them with this one.",
        )
    card = standing.card
    method = parse_method("names")
    [width] = card.taps["pooled"]
    task = nothing_of(told.signatures, width)
    head = method.fit(task)
    if not isinstance(head, SignatureHead):
        raise TypeError("'names' fits heads that are told by signatures")
    request = {"from": None, "signatures": told.record.id}
    manifest = Manifest(
        name=name,
        number=1,
        kind="graph" if head.affine is None else "affine",
        backbone=backbone,
        backbone_digest=card.digest,
        tap="pooled",
        width=width,
        classes=head.classes,
        method=method.fallback(task).model_dump(mode="json"),
        temperature=method.default_temperature,
        calibrated=False,
        dataset="",
        dataset_sha256="",
        job="",
        created_at="",
        seed=0,
        files={},
        modality=card.modality,  # type: ignore[arg-type]  # a card says text, image or audio
        long=body.long or "truncate",
        request=request,
        signatures=told.record.id,
    )
    notes = (f"Made of the words for {len(head.classes)} classes alone, without a fit.", _UNMEASURED)
    return Derived(tenant, head, manifest, request, notes, body.promote)


def _stored(state: State, tenant: str, signatures_id: str) -> _Told:
    record = signatures.get(state.engine, tenant, signatures_id)
    return _Told(record, Signatures.from_bytes(state.blobs.get(record.blob)))


async def _of_labels(state: State, tenant: str, body: VersionRequest, backbone: str | None = None) -> _Told:
    """Labels as signatures, which are kept: the same as POST /v1/signatures makes of them."""
    name = backbone or body.backbone
    if name is None:
        raise _refused("/backbone", "Labels are told apart by a backbone that embeds words; name it in 'backbone'.")
    asked = check(SignaturesRequest, {"labels": body.labels, "backbone": name, "templates": body.templates})
    made = await made_of(
        state, tenant, Asked("", asked, frozenset({"labels"} if isinstance(body.labels, dict) else ()))
    )
    record, _ = await run_in_threadpool(
        signatures.keep,
        state.engine,
        state.blobs,
        tenant,
        made.signatures,
        name=f"labels of {name}",
        facts_extra=made.facts,
        now_s=state.clock(),
        content=made.content,
    )
    return _Told(record, made.signatures)


def _make(state: State, derived: Derived, key: requests.Key | None) -> int:
    state.blobs.check_room(0)
    return make(state.engine, state.home, state.blobs, derived, state.clock(), key)


def _refused(pointer: str, sentence: str) -> BodyInvalid:
    return BodyInvalid(sentence, problems=[Problem(sentence, pointer=pointer)])
