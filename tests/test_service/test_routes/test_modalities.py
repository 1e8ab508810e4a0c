"""Tables, vectors and long texts, from the upload to the answer."""

import io
import json
import random

import numpy as np
import onnxruntime
import pytest


def table_csv(rows=60, seed=0):
    chance = random.Random(seed)
    lines = ["age,plan,member,joined,churn"]
    for i in range(rows):
        age, plan = chance.randint(18, 80), chance.choice("abc")
        churn = "yes" if (age > 50) != (chance.random() < 0.1) else "no"
        lines.append(f"{age},{plan},{str(chance.random() < 0.5).lower()},2024-0{1 + i % 9}-11,{churn}")
    return "\n".join(lines).encode()


def line_csv(rows=80):
    chance = random.Random(1)
    return "\n".join(
        ["x,kind,y", *(f"{(x := chance.random() * 10):.3f},{'ab'[i % 2]},{3 * x + i % 2}" for i in range(rows))]
    )


def npz(classes=3, rows=20, width=5, **more):
    chance = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), rows)
    z = chance.standard_normal((len(y), width)) + 4 * np.eye(width)[y]
    file = io.BytesIO()
    np.savez(file, **({"embedding": z.astype(np.float32), "label": np.array(list("abcdef"))[y]} | more))
    return file.getvalue()


def fit(service, content, filename="t.csv", **form):
    return service.client.post(
        "/v1/adapters?wait=30", files={"file": (filename, content)}, data={"name": "it", "max_seconds": "60"} | form
    )


ROW = {"age": 70, "plan": "a", "member": True, "joined": "2024-03-04"}


def test_a_table_from_upload_to_answer(service):
    made = fit(service, table_csv(), target="churn")
    assert made.status_code == 201, made.text
    version = made.json()
    assert (version["modality"], version["task"], version["tap"], version["kind"]) == (
        "table",
        "classification",
        "row",
        "graph",
    )
    assert version["backbone"] is None
    assert set(version["files"]) == {"head.onnx", "report.json"}
    columns = {column["name"]: column for column in version["columns"]}
    assert {name: column["kind"] for name, column in columns.items()} == {
        "age": "number",
        "plan": "category",
        "member": "boolean",
        "joined": "date",
    }
    assert (columns["age"]["low"], columns["joined"]["high"]) == (pytest.approx(18, abs=3), "2024-09-11")
    body = service.predict("it", ROW, dict(reversed(ROW.items())), ROW | {"age": 20}).json()
    first, turned, young = body["predictions"]
    assert "warnings" not in body
    assert (first["label"], young["label"]) == ("yes", "no")
    assert turned["top"] == first["top"]


def test_odd_rows_are_answered_with_warnings(service):
    fit(service, table_csv(), target="churn")
    body = service.predict("it", {"age": "old", "plan": "z", "height": 3}, ROW).json()
    warned = {warning.get("column"): warning for warning in body["warnings"]}
    assert warned["age"]["inputs"] == [0]
    assert warned["plan"]["count"] == 1
    assert "'height'" in warned[None]["detail"]
    assert len(body["predictions"]) == 2


def test_rows_that_mean_nothing_are_refused(service):
    fit(service, table_csv(), target="churn")
    refused = service.predict("it", {"height": 3})
    assert (refused.status_code, refused.json()["code"]) == (422, "body-invalid")
    assert "'age', 'plan'" in refused.json()["detail"]
    assert service.predict("it", "a text").status_code == 422


def test_the_published_file_computes_what_is_served(service):
    fit(service, table_csv(), target="churn")
    onnx = service.client.get("/v1/adapters/it/versions/1/adapter.onnx").content
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    columns = json.loads(session.get_modelmeta().custom_metadata_map["columns"])
    assert [column["name"] for column in columns] == ["age", "plan", "member", "joined"]
    numbers = np.array([[70, 1, 19786]], np.float64)  # days from 1970 to 2024-03-04
    categories = np.array([["a"]], dtype=object)
    (probabilities,) = session.run(["probabilities"], {"numbers": numbers, "categories": categories})
    served = dict(map(tuple, service.predict("it", ROW).json()["predictions"][0]["top"]))
    np.testing.assert_allclose([served["no"], served["yes"]], probabilities[0], atol=1e-5)


def test_a_regression_answers_values_and_reports_its_error(service):
    made = fit(service, line_csv().encode(), target="y").json()
    assert (made["task"], made["classes"], made["calibrated"]) == ("regression", [], False)
    assert made["metrics"]["r2"] > 0.99
    assert made["metrics"]["accuracy"] is None
    body = service.predict("it", {"x": 5, "kind": "b"}).json()
    assert body["predictions"][0]["value"] == pytest.approx(16, abs=0.5)
    assert set(body["predictions"][0]) == {"id", "value"}
    assert body["calibrated"] is None
    dataset = service.client.get(f"/v1/datasets/{made['dataset']}").json()
    assert (dataset["task"], dataset["classes"]) == ("regression", {})
    assert dataset["target"]["low"] < dataset["target"]["mean"] < dataset["target"]["high"]


def test_a_second_regression_goes_live_unless_its_error_is_larger(service):
    fit(service, line_csv().encode(), target="y")
    worse = fit(service, line_csv().encode(), target="y", method='{"method": "ridge", "l2": 10000.0}').json()
    assert (worse["promoted"], worse["live"]) == (False, False)
    assert "root mean squared error" in worse["promotion"]


@pytest.mark.parametrize("method", ["logistic", "prototype"])
def test_a_method_that_cannot_do_the_task_says_which_can(service, method):
    failed = fit(service, line_csv().encode(), target="y", method=method).json()
    assert failed["state"] == "failed"
    assert "ridge" in failed["error"]["detail"]


def test_vectors_from_upload_to_answer(service):
    version = fit(service, npz(), "own.npz").json()
    assert (version["modality"], version["tap"], version["kind"], version["width"]) == ("vector", "vector", "affine", 5)
    assert version["backbone"] is None
    body = service.predict("it", {"embedding": [0, 4, 0, 0, 0]}, {"embedding": [0.0, 0, 4, 0, 0]}).json()
    assert [p["label"] for p in body["predictions"]] == ["b", "c"]


@pytest.mark.parametrize(
    "wrong", [{"embedding": [1, 2]}, {"embedding": [1, 2, 3, 4, "5"]}, {"embedding": None}, {"x": 1}, "text", [1, 2, 3]]
)
def test_wrong_vectors_are_refused(service, wrong):
    fit(service, npz(), "own.npz")
    refused = service.predict("it", {"embedding": [0] * 5}, wrong)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].startswith("/inputs/1")


def test_arrays_of_objects_are_refused(service):
    pickled = npz(label=np.array([{"a": 1}] * 60, dtype=object))
    refused = fit(service, pickled, "own.npz")
    assert refused.status_code == 422
    assert "objects" in refused.json()["detail"]


@pytest.mark.parametrize(("name", "value"), [("backbone", "fake"), ("long", "chunk")])
def test_what_only_texts_have_is_refused_for_a_table(service, name, value):
    refused = fit(service, table_csv(), target="churn", **{name: value})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == f"/{name}"


def test_columns_can_be_named_in_the_form(service):
    version = fit(service, table_csv(), target="churn", columns='{"age": "category", "joined": "ignore"}').json()
    assert {c["name"]: c["kind"] for c in version["columns"]} == {
        "age": "category",
        "plan": "category",
        "member": "boolean",
    }


@pytest.mark.parametrize("columns", ["{", "[]", '{"age": "colour"}', '{"nothing": "number"}'])
def test_columns_that_cannot_be_meant_are_refused(service, columns):
    assert fit(service, table_csv(), target="churn", columns=columns).status_code == 422


def test_long_texts_are_treated_at_predict_as_in_the_fit(service):
    content = service.csv(service.words)
    text = "refund " * 200 + "parcel " * 200
    cut = fit(service, content, long="truncate").json()
    (only,) = service.predict("it", text).json()["predictions"]
    assert (cut["long"], only["truncated"]) == ("truncate", True)
    whole = fit(service, content, long="chunk", promote="always").json()
    (pooled,) = service.predict("it", text).json()["predictions"]
    assert whole["long"] == "chunk"
    assert "truncated" not in pooled
    overridden = service.client.post("/v1/adapters/it/predict", json={"inputs": [text], "long": "truncate"}).json()[
        "predictions"
    ][0]
    assert overridden["truncated"] is True


def test_the_same_table_read_otherwise_is_another_dataset(service):
    first = service.client.post(
        "/v1/datasets", files={"file": ("t.csv", table_csv())}, data={"meta": '{"target": "churn"}'}
    )
    same = service.client.post(
        "/v1/datasets", files={"file": ("t.csv", table_csv())}, data={"meta": '{"target": "churn"}'}
    )
    other = service.client.post(
        "/v1/datasets", files={"file": ("t.csv", table_csv())}, data={"meta": '{"target": "plan"}'}
    )
    assert (first.status_code, same.status_code, other.status_code) == (201, 200, 201)
    assert first.json()["id"] == same.json()["id"] != other.json()["id"]
    assert [column["name"] for column in other.json()["schema"]] == ["age", "member", "joined", "churn"]
