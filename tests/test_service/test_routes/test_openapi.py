"""The OpenAPI document says what the service does, and its page needs no network."""

import json
import re
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from adapters.methods import METHODS
from service.routes.described import SUFFIXES as SIGNATURES
from service.routes.guard import Guard
from service.routes.predict_file import ANSWERS, SUFFIXES
from service.routes.predict_items import ITEMS
from service.wiring import VERSION, create_api

LOOPBACK = "127.0.0.1"
OPERATIONS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def client():
    guarded = Guard(create_api(), allowed_hosts=(LOOPBACK,), keys=SimpleNamespace(locked=True))
    return TestClient(guarded, base_url=f"http://{LOOPBACK}")


@pytest.fixture(scope="module")
def document(client):
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture(scope="module")
def operations(document):
    return {(verb, path): op for path, item in document["paths"].items() for verb, op in item.items()}


def _nodes(node):
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(child)


def _resolve(document, ref):
    assert ref.startswith("#/"), ref
    node = document
    for part in ref[2:].split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_it_is_a_document_of_openapi_3_1(document, operations):
    assert document["openapi"].startswith("3.1.")
    assert document["info"] == {**document["info"], "title": "Graft", "version": VERSION}
    assert all(verb in OPERATIONS for verb, _ in operations)
    ids = [op["operationId"] for op in operations.values()]
    assert len(set(ids)) == len(ids)


def test_every_reference_resolves(document):
    refs = {node["$ref"] for node in _nodes(document) if isinstance(node, dict) and isinstance(node.get("$ref"), str)}
    refs |= {
        ref
        for node in _nodes(document)
        if isinstance(node, dict) and isinstance(node.get("discriminator"), dict)
        for ref in node["discriminator"].get("mapping", {}).values()
    }
    assert len(refs) > 20
    for ref in refs:
        assert _resolve(document, ref), ref


def test_nothing_is_left_of_how_it_was_derived(document):
    assert not [node for node in _nodes(document) if isinstance(node, dict) and "$defs" in node]
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_every_operation_has_a_summary_a_sentence_and_answers(operations):
    for where, op in operations.items():
        assert op["summary"], where
        assert op["description"].rstrip().endswith("."), where
        assert any(status.startswith("2") for status in op["responses"]), where


def test_every_operation_under_v1_names_its_problems(operations):
    for (verb, path), op in operations.items():
        if not path.startswith("/v1"):
            continue
        statuses = {status for status in op["responses"] if status >= "400"}
        assert statuses >= {"401", "403", "500", "503"}, (verb, path)
        for status in statuses:
            content = op["responses"][status]["content"]
            assert "application/problem+json" in content, (verb, path, status)
        if "{" in path:
            assert "404" in statuses, (verb, path)


def test_every_path_parameter_is_described(operations):
    for (verb, path), op in operations.items():
        named = {item["name"] for item in op.get("parameters", []) if item["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), (verb, path)


def test_every_operation_that_takes_a_body_describes_it(operations):
    bodies = {where: op["requestBody"]["content"] for where, op in operations.items() if "requestBody" in op}
    assert {where: set(content) for where, content in bodies.items()} == {
        ("post", "/v1/datasets"): {"multipart/form-data"},
        ("post", "/v1/signatures"): {"application/json", "multipart/form-data", *SIGNATURES},
        ("post", "/v1/adapters"): {"application/json", "multipart/form-data"},
        ("put", "/v1/adapters/{name}/aliases/{alias}"): {"application/json"},
        ("post", "/v1/adapters/{ref}/predict"): {"application/json", "multipart/form-data", *SUFFIXES, *ITEMS},
        ("post", "/v1/backbones"): {"application/json", "multipart/form-data"},
        ("post", "/v1/backbones:rank"): {"application/json"},
        ("post", "/v1/keys"): {"application/json"},
        ("post", "/v1/embeddings"): {"application/json"},
        ("post", "/v1/zero-shot"): {"application/json"},
        ("post", "/v1/adapters/{name}/versions"): {"application/json"},
    }


def test_the_answer_to_a_file_and_its_options_are_described(operations):
    predict = operations["post", "/v1/adapters/{ref}/predict"]
    answer = predict["responses"]["200"]
    assert set(answer["content"]) == {media.partition(";")[0] for media in ANSWERS.values()}
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/PredictOut")
    assert set(answer["headers"]) == {"X-Graft-Adapter", "Graft-Rows", "Graft-Warnings"}
    options = {"text", "top_k", "long"}
    assert {item["name"] for item in predict["parameters"] if item["in"] == "query"} == options
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == options | {"file"}


def test_every_operation_under_v1_says_what_its_key_needs_and_no_other_needs_one(document, operations):
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    for (verb, path), op in operations.items():
        needs = re.findall(r"Needs the scope `(\w+)`\.", op["description"])
        if path.startswith("/v1"):
            assert len(needs) == 1, (verb, path)
            assert op["security"] == [{"key": []}], (verb, path)
        else:
            assert "security" not in op, (verb, path)
            assert needs == [], (verb, path)


def test_scopes_are_the_routes_own(operations):
    described = {where: op["description"] for where, op in operations.items()}
    assert "scope `predict`" in described["post", "/v1/adapters/{ref}/predict"]
    assert "scope `fit`" in described["delete", "/v1/datasets/{dataset}"]
    assert "scope `read`" in described["get", "/v1/backbones"]
    assert "scope `admin`" in described["get", "/v1/keys"]


def test_every_method_is_there_with_its_parameters(document):
    text = json.dumps(document["components"]["schemas"]["Method"])
    for name in METHODS:
        assert f'"{name}"' in text


def test_request_types_refuse_unknown_fields(document):
    for name in ("AdaptRequest", "AdaptForm", "AliasRequest", "PredictRequest", "KeyRequest"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_the_page_is_served_without_any_foreign_address(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert re.findall(r"""(?:src|href|url)\s*[=:]\s*["']?(?:https?:)?//""", page.text) == []
    own = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
    assert any(path.endswith(".js") for path in own)
    assert any(path.endswith(".css") for path in own)
    for path in own:
        assert client.get(path).status_code == 200, path


def test_the_form_of_a_prediction_takes_several_files(operations):
    body = operations["post", "/v1/adapters/{ref}/predict"]["requestBody"]
    file = body["content"]["multipart/form-data"]["schema"]["properties"]["file"]
    assert (file["type"], file["items"]) == ("array", {"type": "string", "format": "binary"})
