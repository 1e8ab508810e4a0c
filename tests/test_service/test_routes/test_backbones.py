"""Hosting a backbone is a job; what came of it is listed, used, and deleted when nothing needs it."""

import pytest

from models.catalog import entry
from models.errors import SourceRefused
from service.jobs import child
from service.registry import backbones, references

GRAPH = b"an ONNX file"
TABLE = b"a,b\n" + b"".join(b"%d,%s\n" % (i * i % 7, b"xy"[i % 2 : i % 2 + 1]) for i in range(40))


@pytest.fixture
def upload(service, monkeypatch):
    """Uploads a graph; what the worker is told comes back, and the fake backbone is hosted in its place."""
    real, told = child.host, []

    def stand_in(asked, folder, on_stage, *, pointer):
        told.append(asked)
        return real(entry("fake"), folder, on_stage, pointer=pointer)

    monkeypatch.setattr(child, "host", stand_in)

    def send(*, graph=GRAPH, files=None, wait=30, headers=None, **fields):
        files = {"file": ("net.onnx", graph)} | (files or {})
        form = {"id": "net", "modality": "image", "input": "x", "output": "y"} | fields
        return service.client.post(f"/v1/backbones?wait={wait}", files=files, data=form, headers=headers)

    send.told = told
    return send


def _state(service, id_="mine"):
    return service.client.get(f"/v1/backbones/{id_}").json()["state"]


class TestHost:
    def test_an_entry_of_the_catalogue_under_a_name_of_ones_own(self, service):
        answer = service.host()
        assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/backbones/mine")
        made = answer.json()
        assert made == service.client.get("/v1/backbones/mine").json()
        assert (made["state"], made["own"], made["trained"], made["provider"]) == ("ready", True, False, "cpu")
        operators = service.client.get("/v1/backbones/fake").json()
        assert (operators["own"], operators["job"]) == (False, None)
        assert made["digest"] == operators["digest"]
        job = service.client.get(f"/v1/jobs/{made['job']}").json()
        assert (job["kind"], job["backbone"], job["adapter"], job["dataset"]) == ("host", "mine", None, None)
        assert job["result"] == {key: made[key] for key in ("digest", "modality", "taps")} | {"backbone": "mine"}

    def test_without_waiting_it_is_a_job_first(self, service, hold):
        hold.clear()
        answer = service.host(wait=0)
        job = answer.json()
        assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/jobs/{job['id']}")
        shown = service.client.get("/v1/backbones/mine").json()
        assert (shown["state"], shown["job"], shown["modality"]) == ("preparing", job["id"], "text")
        hold.set()
        service.wait(job["id"], "succeeded")
        assert _state(service) == "ready"

    def test_a_failed_one_says_why_and_can_be_asked_for_again(self, service, monkeypatch):
        def refuse(*_args, **_more):
            raise SourceRefused("There is no revision 'x' of o/n.")

        with monkeypatch.context() as broken:
            broken.setattr(child, "host", refuse)
            answer = service.host()
        assert (answer.status_code, answer.json()["state"]) == (202, "failed")
        assert answer.json()["error"]["code"] == "source-refused"
        shown = service.client.get("/v1/backbones/mine").json()
        assert (shown["state"], shown["error"]["detail"]) == ("failed", "There is no revision 'x' of o/n.")
        refused = service.adapt(backbone="mine")
        assert (refused.status_code, "There is no revision 'x'" in refused.json()["detail"]) == (422, True)
        assert service.host().status_code == 201

    def test_a_cancelled_one_is_gone(self, service, hold):
        hold.clear()
        job = service.host(wait=0).json()["id"]
        assert service.client.post(f"/v1/jobs/{job}/cancel").status_code == 202
        service.wait(job, "cancelled")
        assert service.client.get("/v1/backbones/mine").status_code == 404
        hold.set()
        assert service.host().status_code == 201

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({"id_": "fake"}, 409, "'fake' is hosted here for everybody already"),
            ({"id_": "minilm-l6"}, 409, "the name of an entry of the catalogue"),
            ({"id_": "auto"}, 422, "the data choose"),
            ({"id_": "Mine"}, 422, "/id: a name is 1 to 64 of a-z"),
            ({"source": {"hub": "resnet"}}, 422, "/source/hub: a repository of the hub is owner/name"),
            ({"source": {"path": "/etc"}}, 422, "GRAFT_BACKBONE_FOLDERS"),
            ({"source": {"adapter": "nope:1"}}, 404, "no adapter 'nope'"),
            ({"source": {"adapter": "a b"}}, 422, "does not name an adapter"),
            ({"taps": ["block0"]}, 422, "/taps/0"),
            ({"colour": "red"}, 422, "there is no such field"),
        ],
    )
    def test_what_cannot_be_hosted_is_refused_at_once(self, service, body, status, words):
        answer = service.host(**body)
        assert answer.status_code == status
        assert words in answer.json()["detail"]
        assert service.client.get("/v1/jobs").json()["data"] == []

    def test_a_name_is_taken_once(self, service):
        service.host()
        again = service.host()
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        assert "DELETE /v1/backbones/mine" in again.json()["detail"]

    def test_an_adapter_without_a_hidden_layer_has_no_trunk(self, service):
        service.adapt(method="prototype")
        answer = service.host(source={"adapter": "intents"})
        assert answer.status_code == 422
        assert "Adapters of method 'prototype' have no hidden layer, so intents:1" in answer.json()["detail"]

    def test_the_same_idempotency_key_hosts_once(self, service):
        def send(**more):
            body = {"id": "mine", "source": {"catalog": "fake"}} | more
            return service.client.post("/v1/backbones?wait=30", json=body, headers={"Idempotency-Key": "k"})

        first, again = send(), send()
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["job"] == again.json()["job"]
        assert send(id="other").json()["code"] == "idempotency-key-reused"

    def test_another_media_type_is_refused(self, service):
        answer = service.client.post("/v1/backbones", content=b"x", headers={"Content-Type": "text/csv"})
        assert answer.status_code == 415


class TestUpload:
    def test_a_graph_is_kept_as_long_as_its_backbone(self, service, upload):
        answer = upload(preprocess='{"size": 32}', licence="MIT")
        assert answer.status_code == 201
        (asked,) = upload.told
        assert (asked.id, asked.modality, asked.options.preprocess) == ("net", "image", {"size": 32})
        assert (asked.source.input, asked.source.output) == ("x", "y")
        own = backbones.find(service.state.engine, "default", "net")
        (blob,) = own.blobs
        assert asked.source.path == str(service.state.blobs.path(blob))
        assert service.state.blobs.get(blob) == GRAPH
        assert blob in references.digests(service.state.engine)

    def test_a_text_encoder_comes_with_its_tokenizer(self, service, upload):
        tokenizer = "{" + " " * 70_000 + "}"
        answer = upload(modality="text", files={"tokenizer": ("t.json", tokenizer)})
        assert answer.status_code == 201
        blobs = backbones.find(service.state.engine, "default", "net").blobs
        assert service.state.blobs.get(blobs[1]).decode() == tokenizer
        assert upload.told[0].source.tokenizer == str(service.state.blobs.path(blobs[1]))

    def test_texts_of_the_form_are_short_for_they_are_held_in_memory(self, upload):
        answer = upload(modality="text", tokenizer="{" + " " * 70_000 + "}")
        assert (answer.status_code, upload.told) == (400, [])
        assert "two files, the graph as 'file' and perhaps a 'tokenizer'" in answer.json()["detail"]

    def test_the_key_of_another_tokenizer_is_another_request(self, upload):
        def send(tokenizer):
            return upload(modality="text", headers={"Idempotency-Key": "k"}, files={"tokenizer": ("t", tokenizer)})

        assert send("{}").status_code == send("{}").status_code == 201
        assert send("{ }").json()["code"] == "idempotency-key-reused"

    def test_the_key_of_another_graph_is_another_request(self, upload):
        headers = {"Idempotency-Key": "k"}
        assert upload(headers=headers).status_code == 201
        assert upload(headers=headers).status_code == 201
        assert len(upload.told) == 1
        assert upload(headers=headers, graph=b"other").json()["code"] == "idempotency-key-reused"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"output": ""}, "/output"),
            ({"input": ""}, "Name the graph's input"),
            ({"modality": "text"}, "tokenizer.json"),
            ({"modality": "smell"}, "/modality"),
            ({"source": "{}"}, "no such field"),
            ({"preprocess": "[1]"}, "/preprocess"),
            ({"id": "resnet-50"}, "entry of the catalogue"),
        ],
    )
    def test_a_form_that_does_not_fit_says_why(self, upload, fields, words):
        answer = upload(**fields)
        assert answer.status_code in {409, 422}
        assert words in answer.json()["detail"]
        assert upload.told == []

    def test_a_form_without_a_graph_or_with_another_file_says_so(self, service):
        form = {"id": "net", "modality": "image", "input": "x", "output": "y"}
        for files, words in (
            ({"tokenizer": ("t.json", "{}")}, "no whole file in its field 'file'"),
            ({"file": ("a.onnx", GRAPH), "weights": ("w", b"x")}, "a file in its field 'weights'"),
        ):
            answer = service.client.post("/v1/backbones", files=files, data=form)
            assert (answer.status_code, words in answer.json()["detail"]) == (422, True)

    def test_one_over_the_limit_is_refused(self, service):
        limit = service.state.settings.max_backbone_bytes
        answer = service.client.post(
            "/v1/backbones",
            content=b"x",
            headers={"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(3 * 2**30)},
        )
        assert answer.status_code == 413
        assert f"{limit:,} bytes" in answer.json()["detail"]


class TestUse:
    def test_an_adapter_is_fitted_on_it_and_answers(self, service):
        made = service.host().json()
        version = service.adapt(backbone="mine").json()
        assert version["backbone"] == {"id": "mine", "digest": made["digest"]}
        assert service.predict("intents", "money back").json()["predictions"][0]["label"] == "refund"
        refused = service.client.delete("/v1/backbones/mine")
        assert (refused.status_code, "intents:1" in refused.json()["detail"]) == (409, True)
        assert service.client.delete("/v1/adapters/intents/versions/1").status_code == 204
        assert service.client.delete("/v1/backbones/mine").status_code == 204
        assert service.client.get("/v1/backbones/mine").status_code == 404

    def test_an_open_choice_ends_with_one_of_them(self, service):
        service.host()
        version = service.adapt(backbone="auto").json()
        assert version["backbone"]["id"] in {"fake", "mine"}
        report = service.client.get("/v1/adapters/intents/versions/1/report").json()
        assert {row["id"] for row in report["backbones"]} == {"fake", "mine"}

    def test_one_under_way_cannot_be_fitted_on_yet(self, service, hold):
        hold.clear()
        job = service.host(wait=0).json()["id"]
        answer = service.adapt(backbone="mine", wait=0)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert job in answer.json()["detail"]

    def test_rows_of_a_table_have_none(self, service):
        files = {"file": ("t.csv", TABLE)}
        form = {"name": "t", "target": "b", "backbone": "auto"}
        answer = service.client.post("/v1/adapters", files=files, data=form)
        assert answer.status_code == 422
        assert "'backbone' is for texts, images and sounds" in answer.json()["detail"]

    def test_the_operators_cannot_be_deleted(self, service):
        answer = service.client.delete("/v1/backbones/fake")
        assert (answer.status_code, "GRAFT_BACKBONES" in answer.json()["detail"]) == (409, True)


class TestList:
    def test_pages_go_by_name(self, service):
        service.host("zebra")
        service.host("apple")
        page = service.client.get("/v1/backbones?limit=2").json()
        assert ([one["id"] for one in page["data"]], page["has_more"]) == (["apple", "fake"], True)
        rest = service.client.get("/v1/backbones?after=fake").json()
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (["zebra"], False)


class TestRank:
    def _rank(self, service, wait=30, **body):
        dataset = service.upload().json()["id"]
        return service.client.post(f"/v1/backbones:rank?wait={wait}", json={"dataset": dataset} | body)

    def test_the_table_is_the_jobs_result(self, service):
        service.host()
        answer = self._rank(service)
        job = answer.json()
        assert (answer.status_code, job["kind"], job["state"], job["version"]) == (200, "rank", "succeeded", None)
        assert {row["id"] for row in job["result"]["backbones"]} == {"fake", "mine"}
        assert job["result"]["recommended"] in {"fake", "mine"}
        assert job["result"]["why"]
        assert service.client.get(f"/v1/jobs/{job['id']}").json() == job

    def test_only_those_named_are_compared(self, service):
        service.host()
        rows = self._rank(service, backbones=["mine"]).json()["result"]["backbones"]
        assert [row["id"] for row in rows] == ["mine"]

    def test_without_waiting_it_is_a_job(self, service, hold):
        hold.clear()
        answer = self._rank(service, wait=0)
        assert (answer.status_code, answer.json()["state"] in {"queued", "running"}) == (202, True)
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({"dataset": "ds_none"}, 404, "ds_none"),
            ({"backbones": ["nope"]}, 422, "no backbone 'nope'"),
            ({"backbones": []}, 422, "/backbones"),
            ({"more": 1}, 422, "no such field"),
        ],
    )
    def test_what_cannot_be_ranked_says_why(self, service, body, status, words):
        answer = self._rank(service, **body)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True)

    def test_tables_have_nothing_to_rank(self, service):
        dataset = service.client.post(
            "/v1/datasets", files={"file": ("t.csv", TABLE)}, data={"meta": '{"target": "b"}'}
        ).json()["id"]
        answer = service.client.post("/v1/backbones:rank", json={"dataset": dataset})
        assert (answer.status_code, "nothing to rank" in answer.json()["detail"]) == (422, True)
