"""/v1/adapters: adapt, versions, aliases, reports, files."""

import json
import threading

import numpy as np
import onnxruntime
import pytest


def test_upload_and_adapt_in_one_call_then_predict(service):
    answer = service.adapt()
    assert answer.status_code == 201
    version = answer.json()
    assert answer.headers["location"] == "/v1/adapters/intents/versions/1"
    assert (version["ref"], version["live"], version["aliases"]) == ("intents:1", True, ["latest", "live"])
    assert version["classes"] == ["delivery", "password", "refund"]
    predicted = service.predict("intents", "my password please").json()
    assert predicted["adapter"] == "intents:1"
    assert predicted["predictions"][0]["label"] == "password"


def test_adapt_from_a_dataset_answers_202_with_a_job_that_publishes(service, hold):
    hold.clear()
    dataset = service.upload().json()["id"]
    answer = service.client.post("/v1/adapters", json={"name": "a", "dataset": dataset, "method": "prototype"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] in {"queued", "running"}
    assert (job["dataset"], job["adapter"], job["version"]) == (dataset, "a", None)
    hold.set()
    done = service.wait(job["id"], "succeeded")
    assert (done["version"], done["ref"], done["progress"]) == (1, "a:1", 1.0)
    assert done["seconds"]["embed"] > 0
    assert service.client.get("/v1/adapters/a/versions/1").json()["method"]["method"] == "prototype"


def test_wait_that_runs_out_answers_the_job(service, hold):
    hold.clear()
    answer = service.adapt(wait=0.2)
    assert answer.status_code == 202
    assert answer.json()["state"] in {"queued", "running"}
    assert answer.headers["retry-after"] == "1"


def test_a_fit_that_cannot_be_done_is_a_failed_job_with_a_problem(service):
    answer = service.adapt(method="last_k")
    assert answer.status_code == 202
    job = answer.json()
    assert job["state"] == "failed"
    assert job["error"]["code"] == "requirement-missing"
    assert "trains the backbone itself" in job["error"]["detail"]
    assert service.client.get("/v1/adapters/intents").status_code == 404


def test_a_budget_that_is_over_at_once_publishes_the_best_there_is_and_says_so(service):
    answer = service.adapt(max_seconds="0.000001")
    assert answer.status_code == 201
    report = service.client.get("/v1/adapters/intents/versions/1/report").json()
    assert any("time was over" in note for note in report["notes"]), report["notes"]


def test_a_version_is_fitted_again_bit_by_bit(service):
    service.adapt()
    job = service.client.post("/v1/adapters/intents/versions/1/refit?wait=30").json()
    assert (job["kind"], job["state"]) == ("refit", "succeeded"), job
    assert job["result"]["same"], job["result"]
    assert set(job["result"]["files"]) >= {"head.onnx"}
    assert service.client.get("/v1/adapters/intents").json()["versions"][-1]["version"] == 1


def test_a_version_grows_from_another(service):
    service.adapt(method="logistic")
    grown = service.adapt(method='{"method": "logistic", "prior": "parent"}', parents="intents:1", promote="always")
    assert grown.status_code == 201, grown.text
    assert grown.json()["parents"] == ["intents:1"]
    unlike = service.adapt(parents="intents:1", tap="blocks")
    assert unlike.status_code == 422
    assert "what grows from it has the same" in unlike.json()["detail"]
    assert service.adapt(parents="intents:9").status_code == 404


def test_report_has_figures_baselines_and_candidates(service):
    service.adapt()
    report = service.client.get("/v1/adapters/intents/versions/1/report").json()
    assert report["adapter"] == "intents:1"
    assert 0 <= report["accuracy"] <= 1
    assert report["accuracy_interval"][0] <= report["accuracy"] <= report["accuracy_interval"][1]
    assert {"majority", "nearest_mean"} <= set(report["baselines"])
    assert len(report["candidates"]) >= 3
    assert set(report["seconds"]) >= {"embed", "compare", "fit", "export", "verify"}
    assert report["dataset"]["items"] == 12


def test_the_published_onnx_is_the_function_that_is_served(service):
    service.adapt()
    data = service.client.get("/v1/adapters/intents/versions/1/adapter.onnx")
    assert data.headers["content-type"] == "application/octet-stream"
    session = onnxruntime.InferenceSession(data.content, providers=["CPUExecutionProvider"])
    digest = service.client.get("/v1/adapters/intents/versions/1").json()["backbone"]["digest"]
    backbone = service.state.backbones._encoders[digest, "pooled"].backbone
    texts = ["my parcel is late", "refund", "reset"]
    z = backbone.run(backbone.prepare(texts))
    (expected,) = session.run(["probabilities"], {"embedding": z})
    answers = service.predict("intents", *texts, top_k=3).json()["predictions"]
    classes = service.client.get("/v1/adapters/intents/versions/1").json()["classes"]
    served = [[dict(map(tuple, answer["top"]))[name] for name in classes] for answer in answers]
    np.testing.assert_allclose(served, expected, atol=1e-6)


def test_a_second_fit_makes_a_second_version_and_live_follows(service):
    service.adapt()
    version = service.adapt(method="prototype", promote="always").json()
    assert (version["version"], version["live"], version["promoted"]) == (2, True, True)
    assert service.predict("intents", "x").json()["adapter"] == "intents:2"
    assert service.predict("intents:1", "x").json()["adapter"] == "intents:1"
    shown = service.client.get("/v1/adapters/intents").json()
    assert ([v["version"] for v in shown["versions"]], shown["latest"], shown["live"]) == ([1, 2], 2, 2)


def test_promote_never_leaves_live_where_it_is(service):
    service.adapt()
    version = service.adapt(method="prototype", promote="never").json()
    assert (version["live"], version["aliases"]) == (False, ["latest"])
    assert service.predict("intents", "x").json()["adapter"] == "intents:1"
    assert service.predict("intents@latest", "x").json()["adapter"] == "intents:2"


def test_alias_switch_is_guarded_by_its_etag(service):
    service.adapt()
    service.adapt(promote="never")
    url = "/v1/adapters/intents/aliases/live"
    etag = service.client.get(url).headers["etag"]
    switched = service.client.put(url, json={"version": 2}, headers={"If-Match": etag})
    assert switched.status_code == 200
    assert switched.headers["etag"] != etag
    assert service.predict("intents", "x").json()["adapter"] == "intents:2"
    late = service.client.put(url, json={"version": 1}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition-failed")
    assert service.predict("intents", "x").json()["adapter"] == "intents:2"


def test_own_aliases_and_the_reserved_one(service):
    service.adapt()
    assert service.client.put("/v1/adapters/intents/aliases/canary", json={"version": 1}).status_code == 200
    assert service.predict("intents@canary", "x").json()["adapter"] == "intents:1"
    assert service.client.put("/v1/adapters/intents/aliases/latest", json={"version": 1}).status_code == 409
    assert service.client.put("/v1/adapters/intents/aliases/canary", json={"version": 7}).status_code == 404
    assert service.client.put("/v1/adapters/intents/aliases/BAD!", json={"version": 1}).status_code == 422


def test_delete_version_keeps_what_an_alias_holds_and_never_reuses_a_number(service):
    service.adapt()
    service.adapt(promote="never")
    held = service.client.delete("/v1/adapters/intents/versions/1")
    assert (held.status_code, held.json()["code"]) == (409, "conflict")
    blob = service.client.get("/v1/adapters/intents/versions/2").json()["files"]["report.json"]["sha256"]
    assert service.state.blobs.path(blob).exists()
    assert service.client.delete("/v1/adapters/intents/versions/2").status_code == 204
    assert not service.state.blobs.path(blob).exists()
    assert service.predict("intents:2", "x").status_code == 404
    assert service.predict("intents@latest", "x").json()["adapter"] == "intents:1"
    assert service.adapt().json()["version"] == 3


def test_deleting_the_last_version_leaves_no_adapter(service):
    service.adapt()
    assert service.client.delete("/v1/adapters/intents/versions/1").status_code == 204
    assert service.predict("intents", "x").status_code == 404
    assert service.client.get("/v1/adapters").json() == {"data": [], "has_more": False}
    assert service.adapt().json()["version"] == 2


def test_lists_come_in_pages(service):
    for name in ("b", "a", "c"):
        service.adapt(name, method="prototype")
    first = service.client.get("/v1/adapters?limit=2").json()
    assert ([item["name"] for item in first["data"]], first["has_more"]) == (["a", "b"], True)
    rest = service.client.get("/v1/adapters?limit=2&after=b").json()
    assert ([item["name"] for item in rest["data"]], rest["has_more"]) == (["c"], False)


def test_idempotency_key_makes_one_job(service):
    dataset = service.upload().json()["id"]
    body = {"name": "a", "dataset": dataset, "method": "prototype"}

    def send(body):
        return service.client.post("/v1/adapters?wait=20", json=body, headers={"Idempotency-Key": "k1"})

    first, again = send(body), send(body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["job"] == again.json()["job"]
    other = send({**body, "seed": 1})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(service.client.get("/v1/jobs").json()["data"]) == 1


def test_the_same_key_at_the_same_moment_makes_one_job(service):
    dataset = service.upload().json()["id"]
    body = {"name": "a", "dataset": dataset, "method": "prototype"}
    codes: list[int] = []

    def send() -> None:
        codes.append(
            service.client.post("/v1/adapters?wait=20", json=body, headers={"Idempotency-Key": "k"}).status_code
        )

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {201, 409}
    assert 201 in codes
    assert len(service.client.get("/v1/jobs").json()["data"]) == 1


@pytest.mark.parametrize(
    ("change", "status", "code", "says"),
    [
        ({"backbone": "bert-huge"}, 422, "backbone-unknown", "fake"),
        ({"method": "magic"}, 422, "method-unknown", "logistic"),
        ({"method": {"method": "logistic", "cc": 1}}, 422, "parameter-invalid", "/cc"),
        ({"method": {"method": "logistic", "c": -1}}, 422, "parameter-invalid", "/c"),
        ({"colour": "red"}, 422, "body-invalid", "no such field"),
        ({"name": "Not A Name"}, 422, "body-invalid", "1 to 64 of a-z"),
        ({"name": "../x"}, 422, "body-invalid", ""),
        ({"dataset": "ds_nothing"}, 404, "not-found", "GET /v1/datasets"),
        ({"max_seconds": 1e9}, 422, "body-invalid", "600"),
        ({"seed": "x"}, 422, "body-invalid", "/seed"),
    ],
)
def test_bad_requests_say_what_is_wrong(service, change, status, code, says):
    dataset = service.upload().json()["id"]
    answer = service.client.post("/v1/adapters", json={"name": "a", "dataset": dataset, **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in json.dumps(answer.json())
    assert service.client.get("/v1/jobs").json()["data"] == []


def test_problems_point_into_the_body(service):
    dataset = service.upload().json()["id"]
    body = {"name": "a", "dataset": dataset, "method": {"method": "logistic", "c": "x"}}
    answer = service.client.post("/v1/adapters", json=body)
    assert [item["pointer"] for item in answer.json()["errors"]] == ["/method/c"]


def test_a_dataset_in_use_cannot_be_deleted(service, hold):
    hold.clear()
    dataset = service.upload().json()["id"]
    job = service.client.post("/v1/adapters", json={"name": "a", "dataset": dataset}).json()
    refused = service.client.delete(f"/v1/datasets/{dataset}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    hold.set()
    service.wait(job["id"], "succeeded")
    assert service.client.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert service.predict("a", "x").status_code == 200


def test_the_default_time_follows_the_operators_limit(service):
    object.__setattr__(service.state.settings, "max_fit_s", 30.0)
    assert service.adapt().status_code == 201
    assert service.adapt(max_seconds="31").status_code == 422


def test_a_key_whose_version_is_gone_answers_the_job(service):
    dataset = service.upload().json()["id"]

    def send():
        body = {"name": "a", "dataset": dataset, "method": "prototype"}
        return service.client.post("/v1/adapters?wait=20", json=body, headers={"Idempotency-Key": "k"})

    assert send().status_code == 201
    assert service.client.delete("/v1/adapters/a/versions/1").status_code == 204
    again = send()
    assert (again.status_code, again.json()["state"], again.json()["version"]) == (202, "succeeded", 1)


def test_a_report_whose_file_is_gone_is_our_fault(service):
    version = service.adapt().json()
    service.state.blobs.delete(version["files"]["report.json"]["sha256"])
    answer = service.client.get("/v1/adapters/intents/versions/1/report")
    assert (answer.status_code, answer.json()["code"]) == (500, "artifact-corrupt")


def test_other_columns_of_the_same_file_are_not_the_same_held_out_items(service):
    rows = [(text, label, "ab"[i % 2]) for label, texts in service.words.items() for i, text in enumerate(texts)]
    data = "text,good,noise\n" + "".join(f"{text},{good},{noise}\n" for text, good, noise in rows)
    for label in ("noise", "good"):
        files = {"file": ("x.csv", data.encode())}
        form = {"name": "a", "label": label, "text": "text", "method": "prototype"}
        version = service.client.post("/v1/adapters?wait=20", files=files, data=form).json()
    assert version["promotion"].endswith("the two cannot be compared.")
