"""/v1/signatures."""

import json

import numpy as np
import pytest

from service.registry import jobs
from service.registry.signatures import load

CSV = b"class,furry,legs,tail,weight\ntiger,yes,4,long,160.5\ncrow,no,2,short,0.5\nsnake,no,0,,NA\n"


@pytest.fixture
def post(service):
    """Sends JSON, or a file by itself (bytes)."""

    def sent(body=None, /, media="text/csv", key=None, **query):
        headers = {"Idempotency-Key": key} if key else {}
        if isinstance(body, bytes):
            headers |= {"Content-Type": media}
            return service.client.post("/v1/signatures", content=body, headers=headers, params=query)
        return service.client.post("/v1/signatures", json=body, headers=headers)

    return sent


@pytest.fixture
def form(service):
    """Sends a file in a form."""

    def sent(data, filename="animals.csv", **meta):
        fields = {"meta": json.dumps(meta)} if meta else {}
        return service.client.post("/v1/signatures", files={"file": (filename, data)}, data=fields)

    return sent


def table(service, answer):
    """Class to attribute to value."""
    found = service.client.get(f"/v1/signatures/{answer.json()['id']}", params={"values": "true"}).json()
    rows = (dict(zip(found["attributes"], row, strict=True)) for row in found["values"])
    return dict(zip(found["classes"], rows, strict=True))


def test_upload_show_list_delete(service, form):
    answer = form(CSV)
    made = answer.json()
    assert answer.status_code == 201, made
    assert answer.headers["location"] == f"/v1/signatures/{made['id']}"
    assert (made["name"], made["classes"]) == ("animals.csv", ["tiger", "crow", "snake"])
    assert made["attributes"] == ["furry", "legs", "tail=long", "tail=short", "weight"]
    assert made["kinds"] == ["binary", "continuous", "binary", "binary", "continuous"]
    assert (made["groups"], made["missing"], made["range"]) == ({"tail": ["tail=long", "tail=short"]}, 3, [0, 160.5])
    assert (made["backbone"], made["space"], made["templates"]) == (None, None, [])
    assert "Each value became an attribute in the columns of words: 'tail'." in made["notes"]
    assert "values" not in made
    assert service.client.get(f"/v1/signatures/{made['id']}").json() == made
    listed = service.client.get("/v1/signatures").json()
    assert ([one["id"] for one in listed["data"]], listed["has_more"]) == ([made["id"]], False)
    assert table(service, answer)["snake"] == {
        "furry": 0,
        "legs": 0,
        "tail=long": None,
        "tail=short": None,
        "weight": None,
    }
    assert service.client.delete(f"/v1/signatures/{made['id']}").status_code == 204
    assert service.client.get(f"/v1/signatures/{made['id']}").status_code == 404
    assert list((service.state.home / "blobs").rglob("*/*/*")) == []


def test_a_file_by_itself_in_a_form_and_as_json_are_the_same_signatures(service, post, form):
    body = {
        "classes": [
            {"name": "tiger", "attributes": {"furry": True, "legs": 4, "tail": "long", "weight": 160.5}},
            {"name": "crow", "attributes": {"furry": False, "legs": 2, "tail": "short", "weight": 0.5}},
            {"name": "snake", "attributes": {"furry": 0, "legs": 0, "tail": None}},
        ]
    }
    grid = {
        "classes": ["tiger", "crow", "snake"],
        "attributes": ["furry", "legs", "tail", "weight"],
        "values": [[1, 4, "long", 160.5], ["no", 2, "short", 0.5], [0, 0, None, None]],
    }
    mapping = {"classes": {one["name"]: one["attributes"] for one in body["classes"]}}
    rows = b"\n".join(json.dumps({"class": one["name"]} | one["attributes"]).encode() for one in body["classes"])
    sent = [
        post(CSV),
        form(CSV),
        post(CSV.replace(b",", b"\t"), media="text/tab-separated-values"),
        post(body),
        post(grid),
        post(mapping),
        post(rows, media="application/jsonl"),
        form(json.dumps(body).encode(), "animals.json"),
        form(json.dumps([{"class": n, **a} for n, a in mapping["classes"].items()]).encode(), "animals.json"),
    ]
    assert [answer.status_code for answer in sent] == [201] + [200] * 8, [answer.text for answer in sent]
    assert len({answer.json()["id"] for answer in sent}) == 1
    assert len(service.client.get("/v1/signatures").json()["data"]) == 1
    assert list((service.state.home / "staging").iterdir()) == []


def test_numbers_become_groups_where_they_are_named(service, post, form):
    made = form(CSV, groups=["legs"])
    assert made.json()["groups"]["legs"] == ["legs=0", "legs=2", "legs=4"]
    assert table(service, made)["crow"]["legs=2"] == 1
    known = form(CSV, groups={"legs": [0, 2, 4, 8]})
    assert known.json()["groups"]["legs"] == ["legs=0", "legs=2", "legs=4", "legs=8"]
    assert post(CSV, groups="legs").json()["id"] == made.json()["id"]
    assert post(CSV, groups='{"legs": [0, 2, 4, 8]}').json()["id"] == known.json()["id"]


def test_what_was_answered_can_be_sent_again(service, form, post):
    first = form(CSV, groups=["legs"])
    found = service.client.get(f"/v1/signatures/{first.json()['id']}?values=true").json()
    again = post(
        {name: found[name] for name in ("classes", "attributes", "values")} | {"groups": list(found["groups"])[::-1]}
    )
    assert (again.status_code, again.json()["id"]) == (200, found["id"]), again.text


def test_mixtures_stand_where_they_were_sent(service, post):
    body = {
        "classes": [
            {"name": "liger", "mixture": [["tiger", 3], ["lion", 1]]},
            {"name": "tiger", "attributes": {"stripes": 1, "mane": 0}},
            {"name": "lion", "attributes": {"stripes": 0, "mane": 1}},
            {"name": "liliger", "mixture": {"lion": 0.5, "liger": 0.5}},
        ]
    }
    assert table(service, post(body)) == {
        "liger": {"stripes": 0.75, "mane": 0.25},
        "tiger": {"stripes": 1, "mane": 0},
        "lion": {"stripes": 0, "mane": 1},
        "liliger": {"stripes": 0.375, "mane": 0.625},
    }


def test_labels_and_descriptions_are_embedded(service, post):
    labels = post({"labels": ["money_back", "lost_parcel"], "backbone": "fake"})
    assert labels.status_code == 201, labels.text
    found = labels.json()
    assert (found["classes"], found["attributes"], found["kinds"]) == (["money_back", "lost_parcel"], [], [])
    assert (found["backbone"], found["templates"]) == ("fake", ["{}"])
    assert found["space"] == service.client.get("/v1/backbones/fake").json()["digest"]
    described = {"money_back": "money back", "lost_parcel": ["lost parcel"]}
    kept = [
        load(service.state.blobs, _record(service, post(body).json()["id"]))
        for body in (
            {"labels": ["money_back", "lost_parcel"]},
            {"labels": described, "backbone": "fake"},
            {"descriptions": described, "backbone": "fake"},
            {"classes": [{"name": n, "description": t} for n, t in described.items()]},
            {"classes": ["money_back", "lost_parcel"], "backbone": "fake"},
        )
    ]
    for one in kept:
        np.testing.assert_allclose(one.values, kept[0].values, atol=1e-6)
        assert one.space == found["space"]


def _record(service, id_):
    from service.registry import signatures

    return signatures.get(service.state.engine, "default", id_)


def test_templates_and_mixtures_of_texts(service, post):
    body = {
        "descriptions": {"tiger": ["a big striped cat", "a cat of the jungle"], "lion": "a cat with a mane"},
        "backbone": "fake",
    }
    plain, with_template = post(body), post(body | {"templates": ["a photo of a {}", "{}"]})
    assert plain.json()["id"] != with_template.json()["id"]
    assert with_template.json()["templates"] == ["a photo of a {}", "{}"]
    entries = [{"name": n, "description": t} for n, t in body["descriptions"].items()]
    made = post({"classes": [*entries, {"name": "liger", "mixture": [["tiger", 1], ["lion", 1]]}], "backbone": "fake"})
    values = load(service.state.blobs, _record(service, made.json()["id"])).values
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        values[2] / (values[0] + values[1]), values[2][0] / (values[0] + values[1])[0], rtol=1e-3
    )


def test_the_same_texts_are_the_same_signatures_whatever_their_last_digits(service, post, monkeypatch):
    body = {"labels": ["money_back", "lost_parcel"], "backbone": "fake"}
    first = post(body)
    embed = service.state.labels.embed

    async def a_little_off(*args):
        found = await embed(*args)
        return type(found)(found.z + np.float32(1e-6), *(getattr(found, n) for n in ("backbone", "digest", "unit")))

    monkeypatch.setattr(service.state.labels, "embed", a_little_off)
    again = post(body)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert post(body | {"labels": ["money_back", "lost parcel"]}).json()["id"] != first.json()["id"]


def test_idempotency_key(service, post):
    first, again = post(CSV, key="k"), post(CSV, key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = post(CSV.replace(b"160.5", b"161"), key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    service.client.delete(f"/v1/signatures/{first.json()['id']}")
    assert post(CSV, key="k").status_code == 201


def test_lists_are_paged_and_show_the_first_names(service, post):
    many = b"class,a\n" + b"".join(b"c%d,%d\n" % (i, i) for i in range(30))
    ids = [post(CSV.replace(b"160.5", b"%d" % i)).json()["id"] for i in range(2)] + [post(many).json()["id"]]
    page = service.client.get("/v1/signatures?limit=2").json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    assert (page["data"][0]["class_count"], len(page["data"][0]["classes"])) == (30, 20)
    rest = service.client.get(f"/v1/signatures?after={ids[1]}").json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[:1], False)


def test_what_a_job_under_way_needs_stays(service, post):
    made = post(CSV).json()["id"]
    job = jobs.Job.new("job_1", "default", "adapt", {"signatures": made}, 1.0)
    jobs.add(service.state.engine, job, None, 10)
    refused = service.client.delete(f"/v1/signatures/{made}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    jobs.end_cancelled(service.state.engine, "job_1", 2.0)
    assert service.client.delete(f"/v1/signatures/{made}").status_code == 204


def test_others_see_nothing(locked):
    made = locked.acme.client.post("/v1/signatures", content=CSV, headers={"Content-Type": "text/csv"}).json()["id"]
    for verb in ("GET", "DELETE"):
        assert locked.globex.client.request(verb, f"/v1/signatures/{made}").status_code == 404
    assert locked.globex.client.get("/v1/signatures").json()["data"] == []
    theirs = locked.globex.client.post("/v1/signatures", content=CSV, headers={"Content-Type": "text/csv"})
    assert (theirs.status_code, theirs.json()["id"]) == (201, made)
    assert locked.acme.client.delete(f"/v1/signatures/{made}").status_code == 204
    assert locked.globex.client.get(f"/v1/signatures/{made}?values=true").json()["values"][0][0] == 1


BAD_JSON = {
    "nothing": ({}, "Exactly one of classes, labels, descriptions", None),
    "two": ({"labels": ["a", "b"], "classes": ["a"]}, "classes and labels are there", None),
    "unknown field": ({"label": ["a", "b"]}, "there is no such field", "/label"),
    "no class": ({"classes": []}, "no attribute", None),
    "one class": ({"classes": [{"name": "a", "attributes": {"x": 1}}]}, "There is 1 class ('a')", None),
    "same name": (
        {"classes": [{"name": "a", "attributes": {"x": 1}}, {"name": " a ", "attributes": {"x": 2}}]},
        "'a' is there already, at /classes/0",
        "/classes/1",
    ),
    "equal labels": ({"labels": ["a", "b", "a"]}, "'a' is there already, at /labels/0", "/labels/2"),
    "empty label": ({"labels": ["a", " "]}, "the name is blank", "/labels/1"),
    "empty description": ({"descriptions": {"a": "x", "b": " "}}, "an empty description", "/descriptions/b"),
    "no description": ({"labels": {"a": [], "b": "y"}}, "an empty list of descriptions", "/labels/a"),
    "neither": ({"classes": ["a", "b"]}, "needs attributes or a mixture", "/classes/0"),
    "a word among numbers": (
        {"classes": {"a": {"x/y": 1}, "b": {"x/y": "much"}, "c": {"x/y": 2}}},
        "'much' where other cells are numbers",
        "/classes/b/x~1y",
    ),
    "a list": (
        {"classes": [{"name": "a", "attributes": {"x": [1]}}, {"name": "b", "attributes": {"x": 1}}]},
        "where other cells are numbers",
        "/classes/0/attributes/x",
    ),
    "too large": (
        {"classes": ["a", "b"], "attributes": ["x"], "values": [[1e16], [0]]},
        "not within -1e+15 and 1e+15",
        "/values/0/0",
    ),
    "ragged": ({"classes": ["a", "b"], "attributes": ["x"], "values": [[1], [0, 1]]}, "2 values for 1", "/values/1"),
    "too few rows": ({"classes": ["a", "b"], "attributes": ["x"], "values": [[1]]}, "1 rows for 2", "/values"),
    "attribute twice": (
        {"classes": ["a", "b"], "attributes": ["x", "x"], "values": [[1, 1]] * 2},
        "More than one",
        None,
    ),
    "no values": ({"classes": ["a", "b"], "attributes": ["x"]}, "send all three", "/attributes"),
    "equal rows": ({"classes": {"a": {"x": 1}, "b": {"x": 1}}}, "All 2 classes have the same row", None),
    "nothing known": (
        {"classes": {"a": {"x": 1}, "b": {}, "c": {"x": 0}}},
        "Nothing is known of 1 class(es): 'b'",
        None,
    ),
    "unknown part": (
        {
            "classes": [
                {"name": "a", "attributes": {"x": 1}},
                {"name": "b", "attributes": {"x": 0}},
                {"name": "m/n", "mixture": [["c", 1]]},
            ]
        },
        "names 'c', which is not there",
        "/classes/2/mixture",
    ),
    "no weights": (
        {"classes": [{"name": "a", "attributes": {"x": 1}}, {"name": "m", "mixture": ["a", 1]}]},
        "no list of [class, weight] pairs",
        "/classes/1/mixture",
    ),
    "attributes and texts": (
        {"classes": [{"name": "a", "attributes": {"x": 1}}, {"name": "b", "description": "y"}]},
        "a class with attributes among classes that are told by texts",
        "/classes/0",
    ),
    "group not there": ({"classes": {"a": {"x": 1}, "b": {"x": 0}}, "groups": ["legs"]}, "The group 'legs'", None),
    "groups of texts": ({"labels": ["a", "b"], "groups": ["legs"]}, "leave it out", "/groups"),
    "template without a place": ({"labels": ["a", "b"], "templates": ["photo"]}, "Template 'photo'", "/templates/0"),
    "one label": ({"labels": ["a"]}, "There is 1 class ('a')", None),
    "one text for all": ({"labels": {"a": "x", "b": "x"}}, "All 2 classes have the same row", None),
    "templates of attributes": (
        {"classes": {"a": {"x": 1}, "b": {"x": 0}}, "templates": ["a {}"]},
        "these have attributes; leave them out",
        "/templates",
    ),
    "unknown backbone": ({"labels": ["a", "b"], "backbone": "none"}, "no backbone 'none'", None),
    "not an object": ({"classes": {"a": 1}}, "must be an object of attributes", "/classes"),
}


def test_bad_json_says_what_and_where(service, post):
    wrong = {}
    for name, (body, sentence, pointer) in BAD_JSON.items():
        answer = post(body)
        problem = answer.json()
        pointers = [error.get("pointer") for error in problem.get("errors", ())]
        said = answer.status_code == 422 and sentence in problem["detail"] and len(problem["detail"]) > 40
        if not said or (pointer is not None and pointers[:1] != [pointer]):
            wrong[name] = problem
    assert wrong == {}
    assert service.client.get("/v1/signatures").json()["data"] == []


def test_other_bodies(service, post, form):
    png = service.client.post("/v1/signatures", content=b"x", headers={"Content-Type": "image/png"})
    assert (png.status_code, png.json()["code"]) == (415, "format-unsupported")
    assert post(b'{"classes": [NaN]}', media="application/json").status_code == 400
    assert post(CSV, colour="red").status_code == 422
    assert form(CSV, colour="red").status_code == 422
    bad = service.client.post("/v1/signatures", files={"file": ("a.csv", CSV)}, data={"colour": "red"})
    assert "it takes 'file' and 'meta'" in bad.json()["detail"]
    parquet = form(b"PAR1" + bytes(20) + b"PAR1", "a.parquet")
    assert (parquet.status_code, parquet.json()["code"]) == (415, "format-unsupported")
    assert service.client.get("/v1/signatures/sig_none").status_code == 404


def test_a_body_over_the_limit_is_refused(service, post):
    size = service.state.settings.max_body_bytes
    assert post(b'{"labels": ["' + b"a" * size + b'"]}', media="application/json").status_code == 413
    assert post(b"class,a\n" + b"x" * service.state.settings.max_upload_bytes).status_code == 413


def test_row_numbers_of_a_bad_file(service, post):
    answer = post(b"class,furry\ntiger,1\nlion,soft\ntiger,0\n")
    assert [(one["row"], one["detail"]) for one in answer.json()["errors"]] == [
        (3, "'tiger' is there already, at row 1")
    ]
    answer = post(b"class,furry\ntiger,1\nlion,soft\ncrow,hard\nwolf,1\nfox,0\n")
    assert [one["row"] for one in answer.json()["errors"]] == [2, 3]


def test_a_small_body_that_makes_a_large_table_is_refused(post):
    sparse = {"classes": {f"c{i}": {f"a{i}": i} for i in range(10_000)}}
    answer = post(sparse)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large"), answer.text[:300]


def test_of_many_bad_cells_all_are_counted_and_some_are_listed(post):
    rows = b"".join(b"c%d,soft,1\nd%d,1,hard\ne%d,2,3\nf%d,4,5\n" % (i, i, i, i) for i in range(80))
    answer = post(b"class,a,b\n" + rows)
    assert answer.json()["detail"].startswith("160 cells cannot be used; the first is at row 1: 'a': 'soft'")
    assert len(answer.json()["errors"]) == 100


def test_what_is_no_text_of_a_label_is_said_in_our_words(service):
    answer = service.client.post("/v1/signatures", json={"labels": {"a": 3, "b": "x"}, "backbone": "fake"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"detail": "'a' must be an object of attributes, a text or a list of texts", "pointer": "/labels"}
    ]
