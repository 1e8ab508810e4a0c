"""The OpenAPI document: what FastAPI derives by itself, and the bodies that are read by `service/routes/body.py`."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, TypeAdapter
from starlette.routing import BaseRoute

from adapters.methods import METHODS, AnyMethod
from service.routes.state import Needs
from service.schemas.answers import ProblemOut
from service.schemas.backbones import HostForm, HostRequest, RankRequest
from service.schemas.keys import KeyRequest
from service.schemas.requests import AdaptForm, AdaptRequest, AliasRequest, PredictRequest, VersionRequest
from service.schemas.signatures import SignaturesRequest
from service.schemas.zero_shot import ZeroShotRequest

SCHEME = "key"
REFERENCE = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (
    *(AdaptRequest, AdaptForm, VersionRequest, AliasRequest, PredictRequest),
    *(HostRequest, HostForm, RankRequest, KeyRequest, SignaturesRequest, ZeroShotRequest),
)

DESCRIPTION = """Upload a few labelled items, fit a head on a frozen backbone in seconds, predict.

Where there are keys, each call under `/v1` brings one as a bearer token: `Authorization: Bearer <key>`. What a key
needs is told with each call: `predict`, `read`, `fit` (which includes `read`) or `admin` (which includes everything).

Errors are RFC 9457 problems (`application/problem+json`) with a stable `code`. Every answer carries `X-Request-Id`."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem answers of a route, and those that every route may give."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": _ref(ProblemOut)}}
        for status in sorted({*statuses, 401, 403, 422, 500, 503})
    }


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}


def takes(json: type[BaseModel]) -> dict[str, Any]:
    """The body of a route that takes JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": _ref(json)}}}


def takes_rows(json: type[BaseModel], options: type[BaseModel], media: Iterable[str], form: str) -> dict[str, Any]:
    """The body of a route that takes JSON, or a file: by itself with options in the query, or in a form with them.

    In the form, a file of rows comes alone, and images or sounds one or several under the same name.
    """
    made = options.model_json_schema()["properties"]
    files = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "One file of rows, or one or more images or sounds.",
    }
    fields = {"file": files, **made}
    content: dict[str, Any] = {"application/json": _ref(json)}
    content |= {name: {"schema": {"type": "string", "format": "binary"}} for name in media}
    content[form] = {"schema": {"type": "object", "required": ["file"], "properties": fields}}
    told = {name: f"Of a file alone. {schema.pop('description')}" for name, schema in made.items()}
    parameters = [
        {"name": name, "in": "query", "required": False, "description": told[name], "schema": schema}
        for name, schema in made.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def answers_file(media: Iterable[str], **headers: str) -> dict[str, Any]:
    """A response of a file, beside the JSON one, with headers of its own."""
    return {
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in media},
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()},
    }


def takes_either(json: type[BaseModel], form: type[BaseModel], *more_files: str) -> dict[str, Any]:
    """The body of a route that takes JSON, or a form with a `file`, and perhaps with `more_files`."""
    files = {name: {"type": "string", "format": "binary"} for name in ("file", *more_files)}
    schema = {
        "allOf": [
            {"$ref": REFERENCE.format(model=form.__name__)},
            {"type": "object", "required": ["file"], "properties": files},
        ]
    }
    content = {"application/json": _ref(json), "multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def form_with_file(**fields: str) -> dict[str, Any]:
    """The body of a route that takes a form with a file and text fields."""
    properties: dict[str, Any] = {"file": {"type": "string", "format": "binary"}}
    properties |= {name: {"type": "string", "description": text} for name, text in fields.items()}
    schema = {"type": "object", "required": ["file"], "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def document(app: FastAPI, version: str, bare: Sequence[BaseRoute] = ()) -> dict[str, Any]:
    """The whole document; `bare` describes routes that the application serves without FastAPI."""
    routes = [*app.routes, *bare]
    made = get_openapi(title="Graft", version=version, description=DESCRIPTION, routes=routes)
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    models: tuple[type[BaseModel], ...] = (*BODIES, ProblemOut)
    for model in models:
        _add(schemas, model.__name__, model.model_json_schema(ref_template=REFERENCE))
    _add(schemas, "Method", TypeAdapter(AnyMethod).json_schema(ref_template=REFERENCE))
    schemas["AdaptRequest"]["properties"]["method"]["anyOf"] = [
        {"type": "string", "enum": sorted(METHODS)},
        {"$ref": REFERENCE.format(model="Method")},
    ]
    made["components"]["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer"}}
    for route in iter_route_contexts(routes):
        dependant = getattr(route, "dependant", None)
        if dependant is not None and (scope := scope_of(dependant)) is not None:
            for method in route.methods or ():
                lock(made, str(route.path_format), method, scope)
    return made


def scope_of(dependant: Dependant) -> str | None:
    """The scope that a route asks for; None where it needs no key."""
    if isinstance(dependant.call, Needs):
        return dependant.call.scope
    return next((scope for inner in dependant.dependencies if (scope := scope_of(inner))), None)


def lock(made: dict[str, Any], path: str, method: str, scope: str) -> None:
    """Say of an operation that it needs a key, and with which scope; one that is not described is left out."""
    operation = made["paths"].get(path, {}).get(method.lower())
    if operation is not None:
        operation["security"] = [{SCHEME: []}]
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope `{scope}`.".strip()


def _add(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    schemas.update(schema.pop("$defs", {}))
    schemas[name] = schema
