"""/v1/datasets."""

import json
import logging

import pytest


def test_upload_show_list_delete(service):
    answer = service.upload()
    assert answer.status_code == 201
    dataset = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert (dataset["items"], dataset["classes"]) == (12, {"refund": 4, "delivery": 4, "password": 4})
    assert dataset["columns"] == {"text": "text", "label": "label"}
    assert (dataset["name"], dataset["format"], dataset["modality"]) == ("intents.csv", "csv", "text")
    assert service.client.get(f"/v1/datasets/{dataset['id']}").json() == dataset
    assert [item["id"] for item in service.client.get("/v1/datasets").json()["data"]] == [dataset["id"]]
    blobs = list((service.state.home / "blobs").rglob("*/*/*"))
    assert service.client.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert [path for path in blobs if path.exists()] == []
    assert service.client.get(f"/v1/datasets/{dataset['id']}").status_code == 404


def test_the_same_upload_twice_is_one_dataset(service):
    first, again = service.upload(), service.upload()
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = service.upload(meta=json.dumps({"strict": True}))
    assert (other.status_code, other.json()["id"] == first.json()["id"]) == (201, False)
    assert list((service.state.home / "staging").iterdir()) == []


def test_deleting_one_of_two_datasets_with_equal_items_keeps_the_items(service):
    first = service.upload().json()["id"]
    second = service.upload(meta=json.dumps({"strict": True})).json()["id"]
    assert service.client.delete(f"/v1/datasets/{first}").status_code == 204
    answer = service.client.post("/v1/adapters?wait=20", json={"name": "a", "dataset": second, "method": "prototype"})
    assert answer.status_code == 201


def test_meta_names_the_dataset_and_its_columns(service):
    data = b"a;b\n".replace(b";", b",") + b"".join(b"hello %d,x\nbye %d,y\n" % (i, i) for i in range(5))
    answer = service.upload(data, meta=json.dumps({"name": "greetings", "text": "a", "label": "b"}))
    assert (answer.json()["name"], answer.json()["columns"]) == ("greetings", {"text": "a", "label": "b"})


def test_bad_rows_are_listed_and_left_out(service):
    rows = {label: texts * 4 for label, texts in service.words.items()}
    data = service.csv(rows) + b'" ",refund\n'
    dataset = service.upload(data).json()
    assert dataset["items"] == 48
    assert [problem["row"] for problem in dataset["problems"]] == [49]
    strict = service.upload(data, meta=json.dumps({"strict": True}))
    assert strict.status_code == 422
    assert [error["row"] for error in strict.json()["errors"]] == [49]


@pytest.mark.parametrize(
    ("data", "filename", "status", "code"),
    [
        (b"", "x.csv", 422, "upload-unreadable"),
        (b"text,label\n", "x.csv", 422, "upload-refused"),
        (b"text,other,third\nhello,x,1\nbye,y,2\n", "x.csv", 422, "upload-refused"),
        (b"text,label\nhello,x\nbye,x\n", "x.csv", 422, "upload-refused"),
        (b"text,label\n ,x\n ,y\n", "x.csv", 422, "upload-refused"),
        ("text,label\nhéllo,x\nbye,y\n".encode("utf-16"), "x.csv", 422, "upload-unreadable"),
        (b"text,label\ncaf\xe9,x\nbye,y\n", "x.csv", 422, "upload-unreadable"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "x.csv", 415, "format-unsupported"),
        (",".join(f"c{i}" for i in range(100_000)).encode() + b"\n1\n", "x.csv", 413, "upload-too-large"),
    ],
    ids=["empty", "header only", "no label", "one class", "blank", "utf-16", "latin-1", "png", "100,000 columns"],
)
def test_bad_files_say_what_was_seen(service, data, filename, status, code):
    answer = service.upload(data, filename)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 40
    assert service.client.get("/v1/datasets").json()["data"] == []
    assert list((service.state.home / "staging").iterdir()) == []


def test_an_upload_over_the_limit_is_refused_while_it_arrives(service, monkeypatch):
    limit = service.state.settings.max_upload_bytes
    answer = service.client.post(
        "/v1/datasets",
        content=iter(
            [
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n',
                *[b"x" * 2**20] * (limit // 2**20 + 3),
            ]
        ),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large")
    assert f"{limit:,}" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"data": {"meta": "{}"}}, 415, "format-unsupported"),
        ({"files": {"data": ("x.csv", b"x")}}, 422, "body-invalid"),
        ({"files": {"file": ("x.csv", b"x")}, "data": {"colour": "red"}}, 422, "body-invalid"),
        ({"files": {"file": ("x.csv", b"x")}, "data": {"meta": "{"}}, 400, "body-malformed"),
        ({"files": {"file": ("x.csv", b"x")}, "data": {"meta": '{"colour": 1}'}}, 422, "body-invalid"),
        ({"files": [("file", ("x.csv", b"x")), ("file", ("y.csv", b"y"))]}, 400, "body-malformed"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "body-malformed"),
    ],
)
def test_bad_forms(service, request_, status, code):
    answer = service.client.post("/v1/datasets", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()


def test_idempotency_key_on_upload(service):
    def send(data):
        return service.client.post("/v1/datasets", files={"file": ("x.csv", data)}, headers={"Idempotency-Key": "k"})

    first, again = send(service.csv(service.words)), send(service.csv(service.words))
    assert first.json()["id"] == again.json()["id"]
    other = send(service.csv({**service.words, "more": ["one", "two"]}))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_a_full_disk_is_said_so(service):
    service.state.blobs._min_free_bytes = 2**60
    answer = service.upload()
    assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")
    assert answer.headers["retry-after"] == "60"
    service.state.blobs._min_free_bytes = 0
    assert service.upload().status_code == 201


def test_a_deleted_upload_can_be_sent_again_under_its_key(service):
    def send():
        files = {"file": ("x.csv", service.csv(service.words))}
        return service.client.post("/v1/datasets", files=files, headers={"Idempotency-Key": "k"})

    first = send().json()["id"]
    assert service.client.delete(f"/v1/datasets/{first}").status_code == 204
    again = send()
    assert again.status_code == 201
    assert again.json()["id"] != first


def test_a_caller_that_hangs_up_in_the_middle_is_no_error_of_ours(service, caplog):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\ntext,la'
    arriving = [{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/datasets",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=b")],
        "server": ("127.0.0.1", 80),
    }
    sent = []

    async def receive():
        return arriving.pop(0)

    async def send(message):
        sent.append(message)

    with caplog.at_level(logging.ERROR):
        service.client.portal.call(service.client.app, scope, receive, send)
    assert sent[0]["status"] == 400
    assert caplog.records == []
    assert service.upload().status_code == 201
