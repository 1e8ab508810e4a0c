"""Collections: lists over several pages, references, aliases."""

import json

import httpx
import pytest

from graft import Forbidden, NotFound, Unauthorized, Unreachable
from graft._resources import split


def test_lists_are_read_to_their_end(client, fake, messages):
    page = messages["page"]
    fake.refusals = [
        httpx.Response(200, json=page({"id": "ds_1"}, {"id": "ds_2"}, has_more=True)),
        httpx.Response(200, json=page({"id": "ds_3"})),
    ]
    assert [d.id for d in client.datasets.list()] == ["ds_1", "ds_2", "ds_3"]
    assert [r.url.params.get("after") for r in fake.requests] == [None, "ds_2"]


def test_a_limit_stops_the_reading(client, fake, messages):
    fake.refusals = [httpx.Response(200, json=messages["page"]({"id": "ds_1"}, {"id": "ds_2"}, has_more=True))]
    assert [d.id for d in client.datasets.list(limit=2)] == ["ds_1", "ds_2"]
    assert len(fake.requests) == 1


def test_adapters_are_paged_by_name(client, fake, messages):
    page = messages["page"]
    fake.refusals = [httpx.Response(200, json=page({"name": "a", "versions": 4}, has_more=True))]
    first, second = client.adapters.list()
    assert (first.name, first.count, second.name) == ("a", 4, "intents")
    assert fake.requests[1].url.params["after"] == "a"


def test_jobs_are_filtered_by_state(client, fake):
    client.jobs.list(state="running")
    assert fake.requests[0].url.params["state"] == "running"


def test_upload_sends_only_what_was_chosen(client, fake, messages, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"body,label\na,b\n")
    dataset = client.datasets.upload(path, text="body", strict=True)
    assert json.loads(messages["form"](fake.requests[0])["meta"]) == {"text": "body", "strict": True}
    assert (dataset.id, dataset.problems[0].row) == ("ds_1", 4)
    client.datasets.upload(path)
    assert set(messages["form"](fake.requests[1])) == {"file"}


def test_an_upload_of_a_table_says_so(client, fake, messages, tmp_path):
    fake.refusals = [httpx.Response(201, json=messages["rows"])]
    path = tmp_path / "x.csv"
    path.write_bytes(b"age,price\n1,2\n")
    chosen = {"modality": "table", "target": "price", "task": "regression", "columns": {"age": "number"}}
    dataset = client.datasets.upload(path, **chosen)
    assert json.loads(messages["form"](fake.requests[0])["meta"]) == chosen
    assert (dataset.task, dataset.target.mean, dataset.classes) == ("regression", 4.5, {})
    assert [(c.name, c.kind, c.missing) for c in dataset.schema] == [
        ("age", "number", 2), ("plan", "category", 0), ("joined", "date", 0),
    ]  # fmt: skip
    assert (dataset.schema[0].low, dataset.schema[1].categories[0], dataset.schema[2].examples) == (
        18.0, "a", ("2024-03-04",),
    )  # fmt: skip


def test_a_version_of_a_table_has_columns_and_no_backbone(client, fake, messages):
    fake.refusals = [httpx.Response(200, json=messages["table"])]
    version = client.adapters.version("intents:3")
    assert (version.modality, version.task, version.backbone, version.width) == ("table", "regression", None, 9)
    assert [column.kind for column in version.columns] == ["number", "category", "date"]
    assert (version.metrics.r2, version.metrics.rmse, version.metrics.mae) == (0.87654, 12.5, 9.25)
    assert version.metrics.accuracy is None
    text = client.adapters.version("intents:3")
    assert (text.modality, text.task, text.columns, text.long) == ("text", "classification", (), "truncate")


@pytest.mark.parametrize(
    ("ref", "number"), [("intents:3", 3), ("intents", 2), ("intents@latest", 3), ("intents@safe", 1)]
)
def test_a_reference_leads_to_a_version(client, fake, ref, number):
    with pytest.raises(NotFound) if number != 3 else _nothing():
        assert client.adapters.version(ref).version == 3
    assert fake.requests[-1].url.path == f"/v1/adapters/intents/versions/{number}"


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_an_unknown_alias_names_the_known_ones(client):
    with pytest.raises(ValueError, match="it has: latest, live, safe"):
        client.adapters.version("intents@prod")


@pytest.mark.parametrize(
    ("ref", "parts"), [("a", ("a", None)), ("a:12", ("a", 12)), ("a@live", ("a", "live")), ("a@", ("a", ""))]
)
def test_split(ref, parts):
    assert split(ref) == parts


@pytest.mark.parametrize("ref", ["a:", "a:x", "a:-1", "a:²"])
def test_split_refuses_what_is_no_number(ref):
    with pytest.raises(ValueError, match="no reference"):
        split(ref)


def test_set_alias_guards_against_somebody_elses_change(client, fake):
    alias = client.adapters.set_alias("intents", "live", 3, if_match='"e2"')
    assert (alias.version, alias.etag) == (3, '"e3"')
    assert fake.requests[0].headers["if-match"] == '"e2"'
    client.adapters.set_alias("intents", "live", 3)
    assert "if-match" not in fake.requests[1].headers


def test_only_a_numbered_version_is_deleted(client, fake):
    client.adapters.delete_version("intents:3")
    assert (fake.requests[0].method, fake.requests[0].url.path) == ("DELETE", "/v1/adapters/intents/versions/3")
    with pytest.raises(ValueError, match="may mean another version tomorrow"):
        client.adapters.delete_version("intents@live")


def test_report_and_onnx(client):
    assert client.adapters.report("intents:3")["accuracy"] == 0.91
    assert client.adapters.onnx("intents:3") == b"\x08\x08onnx"


def test_a_key_is_shown_once_and_never_by_accident(client, fake, messages):
    made = client.keys.create(["predict", "fit"], tenant="acme", name="laptop")
    assert json.loads(fake.requests[0].content) == {"scopes": ["predict", "fit"], "name": "laptop", "tenant": "acme"}
    assert (made.key, made.scopes, made.revoked_at) == (messages["key"], ("predict", "fit"), None)
    assert "sss" not in repr(made)
    client.keys.create(["admin"])
    assert json.loads(fake.requests[1].content) == {"scopes": ["admin"], "name": ""}


def test_making_a_key_is_not_repeated_once_it_may_have_been_made(client, fake):
    fake.refusals = [httpx.ReadError("broke")]
    with pytest.raises(Unreachable):
        client.keys.create(["admin"])
    assert len(fake.requests) == 1


def test_keys_are_listed_for_a_tenant_or_all(client, fake):
    (key,) = client.keys.list(tenant="acme")
    assert (key.id, key.key) == ("0123456789ab", None)
    client.keys.list()
    assert [r.url.params.get("tenant") for r in fake.requests] == ["acme", None]


@pytest.mark.parametrize("given", ["0123456789ab", "graft_0123456789ab_" + "s" * 52])
def test_no_more_of_a_key_than_its_id_stands_in_a_url(client, fake, given):
    client.keys.revoke(given)
    assert (fake.requests[0].method, fake.requests[0].url.path) == ("DELETE", "/v1/keys/0123456789ab")


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden), (404, NotFound)])
def test_refusals_of_keys_have_errors_of_their_own(client, fake, messages, status, error):
    fake.refusals = [messages["refusal"](status, code="x", detail="Send a key.")]
    with pytest.raises(error, match="Send a key") as caught:
        client.jobs.list()
    assert (type(caught.value), caught.value.status) == (error, status)


def test_names_are_one_segment_of_the_path(client, fake):
    with pytest.raises(NotFound):
        client.adapters.get("a/../b?c")
    assert fake.requests[0].url.raw_path == b"/v1/adapters/a%2F..%2Fb%3Fc"
