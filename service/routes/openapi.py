"""The OpenAPI document: what FastAPI derives by itself, and the bodies that are read by `service/routes/body.py`."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter

from adapters.methods import METHODS, AnyMethod
from service.schemas.answers import ProblemOut
from service.schemas.requests import AdaptForm, AdaptRequest, AliasRequest, PredictRequest

REFERENCE = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (AdaptRequest, AdaptForm, AliasRequest, PredictRequest)

DESCRIPTION = """Upload a few labelled items, fit a head on a frozen backbone in seconds, predict.

Errors are RFC 9457 problems (`application/problem+json`) with a stable `code`. Every answer carries `X-Request-Id`."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem answers of a route, and those that every route may give."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": _ref(ProblemOut)}}
        for status in sorted({*statuses, 403, 422, 500, 503})
    }


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}


def takes(json: type[BaseModel]) -> dict[str, Any]:
    """The body of a route that takes JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": _ref(json)}}}


def takes_either(json: type[BaseModel], form: type[BaseModel]) -> dict[str, Any]:
    """The body of a route that takes JSON, or a form with a file."""
    schema = {
        "allOf": [
            {"$ref": REFERENCE.format(model=form.__name__)},
            {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}},
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


def document(app: FastAPI, version: str) -> dict[str, Any]:
    """The whole document."""
    made = get_openapi(title="Graft", version=version, description=DESCRIPTION, routes=app.routes)
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    models: tuple[type[BaseModel], ...] = (*BODIES, ProblemOut)
    for model in models:
        _add(schemas, model.__name__, model.model_json_schema(ref_template=REFERENCE))
    _add(schemas, "Method", TypeAdapter(AnyMethod).json_schema(ref_template=REFERENCE))
    schemas["AdaptRequest"]["properties"]["method"]["anyOf"] = [
        {"type": "string", "enum": sorted(METHODS)},
        {"$ref": REFERENCE.format(model="Method")},
    ]
    return made


def _add(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    schemas.update(schema.pop("$defs", {}))
    schemas[name] = schema
