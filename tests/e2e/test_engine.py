"""The fit engine on a real server: every kind of head from the upload to the answer, growing, refits, budgets."""

import io
import json
import random
import time

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.slow

TOPICS = {
    "refund": ["money back", "refund my order", "return the payment", "reimburse me", "charged twice"],
    "delivery": ["where is my parcel", "not delivered", "shipping is late", "courier lost it", "tracking number"],
    "password": ["forgot my password", "reset link", "cannot log in", "new password", "locked account"],
}
WAIT = "?wait=60"


def texts_csv(topics=TOPICS, copies=4, seed=0):
    """Labelled texts, each phrase with some words around it."""
    rng = random.Random(seed)
    around = ["please", "hello", "today", "again", "thanks", "urgent", "my friend", "since monday"]
    lines = ["text,label"]
    for label, phrases in topics.items():
        lines += [
            f"{rng.choice(around)} {phrase} {rng.choice(around)} {rng.randint(0, 99)},{label}"
            for phrase in phrases * copies
        ]
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def calls(make_shared):
    server = make_shared(backbones="minilm-l6").start()
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def dataset(calls):
    return upload(calls, texts_csv())


def upload(calls, content, filename="rows.csv", **meta):
    answer = calls.post("/v1/datasets", files={"file": (filename, content)}, data={"meta": json.dumps(meta)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def fit(calls, name, dataset, method="auto", **more):
    answer = calls.post(f"/v1/adapters{WAIT}", json={"name": name, "dataset": dataset, "method": method, **more})
    assert answer.status_code in {201, 202}, answer.text
    body = answer.json()
    while "state" in body and body["state"] not in {"succeeded", "failed", "cancelled"}:
        time.sleep(0.1)
        body = calls.get(f"/v1/jobs/{body['id']}").json()
    if "state" in body:
        assert body["state"] == "succeeded", body
        body = calls.get(f"/v1/adapters/{name}/versions/{body['version']}").json()
    return body


def report(calls, version):
    name, _, number = version["ref"].partition(":")
    return calls.get(f"/v1/adapters/{name}/versions/{number}/report").json()


def predict(calls, ref, inputs, **more):
    answer = calls.post(f"/v1/adapters/{ref}/predict", json={"inputs": inputs, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def refit(calls, version):
    name, _, number = version["ref"].partition(":")
    job = calls.post(f"/v1/adapters/{name}/versions/{number}/refit{WAIT}").json()
    while job["state"] not in {"succeeded", "failed", "cancelled"}:
        time.sleep(0.1)
        job = calls.get(f"/v1/jobs/{job['id']}").json()
    assert job["state"] == "succeeded", job
    return job["result"]


@pytest.mark.parametrize(
    "method",
    [
        *("prototype", "ridge", "lda", "logistic", "kernel", "mlp"),
        {"method": "last_k", "k": 1, "epochs": 2},
        {"method": "lora", "epochs": 2},
        "auto",
    ],
    ids=str,
)
def test_every_method_answers_and_is_fitted_again_bit_by_bit(calls, dataset, method):
    name = (method if isinstance(method, str) else method["method"]).replace("_", "-")
    version = fit(calls, name, dataset, method, max_seconds=300)
    questions = ["I want my money back now", "the parcel has not been delivered", "I forgot my password again"]
    answers = predict(calls, version["ref"], questions)
    assert [answer["label"] for answer in answers] == ["refund", "delivery", "password"]
    alone = [predict(calls, version["ref"], [question])[0]["probability"] for question in questions]
    np.testing.assert_allclose(alone, [answer["probability"] for answer in answers], atol=1e-5)
    result = refit(calls, version)
    assert result["same"], result


def test_several_labels_an_item(calls):
    rows = [json.dumps({"text": f"{a} and {b}", "label": [x, y]}) for x, p in TOPICS.items() for a in p
            for y, q in TOPICS.items() if x < y for b in q]  # fmt: skip
    rows += [json.dumps({"text": phrase, "label": [label]}) for label, phrases in TOPICS.items() for phrase in phrases]
    dataset = upload(calls, "\n".join(rows).encode(), "rows.jsonl")
    version = fit(calls, "several", dataset)
    assert version["task"] == "multilabel"
    both, one = predict(calls, version["ref"], ["I want my money back, and I forgot my password", "where is my parcel"])
    assert {name for name, _ in both["labels"]} == {"refund", "password"}
    assert [name for name, _ in one["labels"]] == ["delivery"]
    assert "label" not in one
    figures = report(calls, version)
    assert figures["macro_f1"] > 0.7
    assert refit(calls, version)["same"]


def test_a_version_grows_by_classes_and_keeps_what_it_knew(calls, dataset):
    first = fit(calls, "growing", dataset, "logistic")
    more = upload(calls, texts_csv({"weather": ["will it rain", "sunny today", "snow tomorrow", "how warm", "storm"]}
                                   | {"refund": TOPICS["refund"]}, seed=1))  # fmt: skip
    grown = fit(calls, "growing", more, {"method": "logistic", "prior": "parent"}, parents=[first["ref"]])
    assert grown["classes"] == [*first["classes"], "weather"]
    growth = report(calls, grown)["growth"]
    assert growth["parent"] == first["ref"]
    assert growth["new_classes"] == ["weather"]
    answers = predict(calls, grown["ref"], ["will it snow", "reset my password", "where is the parcel", "money back"])
    assert [answer["label"] for answer in answers] == ["weather", "password", "delivery", "refund"]
    assert refit(calls, grown)["same"]


def test_a_parent_of_another_kind_is_refused_with_a_sentence(calls, dataset):
    tuned = fit(calls, "deep", dataset, "mlp")
    body = {"name": "never", "dataset": dataset, "parents": [tuned["ref"]]}
    answer = calls.post("/v1/adapters", json=body)
    assert answer.status_code == 422
    assert "Nothing can grow from deep:1" in answer.json()["detail"]
    missing = calls.post("/v1/adapters", json=body | {"parents": ["nobody:7"]})
    assert missing.status_code == 404


def test_rows_of_a_group_are_never_split(calls):
    """Each speaker says one thing only, whatever is asked: a fold that knows the speaker would be right every time."""
    rng = random.Random(3)
    lines = ["text,label,speaker,weight"]
    for speaker in range(24):
        lines += [f"speaker number {speaker} says hello,{'yes' if rng.random() < 0.5 else 'no'},{speaker},1"] * 1
        lines += [f"speaker number {speaker} says hello again,{lines[-1].split(',')[1]},{speaker},2"]
        lines += [f"and speaker number {speaker} says it once more,{lines[-1].split(',')[1]},{speaker},0.5"]
    content = "\n".join(lines).encode()
    named = {"text": "text", "label": "label"}
    loose = fit(calls, "loose", upload(calls, content, **named), "logistic")
    held = fit(calls, "held", upload(calls, content, **named, group="speaker", weight="weight"), "logistic")
    assert report(calls, loose)["accuracy"] > report(calls, held)["accuracy"] + 0.1


def test_blocks_are_picked_or_joined(calls, dataset):
    version = fit(calls, "blocks", dataset, "logistic", tap="blocks", max_seconds=300)
    assert report(calls, version)["features"]
    answers = predict(calls, version["ref"], ["I want my money back now", "I forgot my password again"])
    assert [answer["label"] for answer in answers] == ["refund", "password"]
    assert refit(calls, version)["same"]


def test_a_budget_of_nothing_publishes_the_best_so_far_and_says_so(calls, dataset):
    version = fit(calls, "hasty", dataset, max_seconds=0.01)
    assert predict(calls, version["ref"], ["I forgot my password again"])[0]["label"] == "password"
    assert any("time was over" in note for note in report(calls, version)["notes"])


def test_progress_moves_at_least_once_a_second(calls):
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(400)]
    rows = [f"{' '.join(chance.choices(words, k=6))},class_{i % 40}" for i in range(2_000)]
    dataset = upload(calls, ("text,label\n" + "\n".join(rows)).encode())
    job = calls.post("/v1/adapters", json={"name": "slow", "dataset": dataset, "max_seconds": 20}).json()
    moved, seen, last = [], None, time.monotonic()
    while job["state"] in {"queued", "running"}:
        if (job["stage"], job["progress"]) != seen:
            moved.append(time.monotonic() - last)
            seen, last = (job["stage"], job["progress"]), time.monotonic()
        time.sleep(0.05)
        job = calls.get(f"/v1/jobs/{job['id']}").json()
    assert job["state"] == "succeeded", job
    assert max(moved[1:]) < 2  # once a second, and some room for a machine that is busy otherwise


def test_a_promoted_trunk_is_a_backbone(calls, dataset):
    version = fit(calls, "source", dataset, "mlp")
    body = {"id": "from-source", "source": {"adapter": version["ref"]}}
    made = calls.post(f"/v1/backbones{WAIT}", json=body)
    assert made.status_code == 201, made.text
    grown = fit(calls, "on-source", dataset, "logistic", backbone="from-source")
    assert grown["backbone"]["id"] == "from-source"
    assert predict(calls, grown["ref"], ["I forgot my password again"])[0]["label"] == "password"


def test_a_vector_file_with_numbers_goes_through_a_kernel(calls):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((200, 3)).astype(np.float32)
    sink = io.BytesIO()
    np.savez(sink, embedding=z, target=np.sin(2 * z[:, 0]) + z[:, 1] ** 2)
    dataset = upload(calls, sink.getvalue(), "rows.npz", task="regression")
    kernel, ridge = fit(calls, "curved", dataset, "kernel"), fit(calls, "straight", dataset, "ridge")
    assert report(calls, kernel)["r2"] > report(calls, ridge)["r2"] + 0.3
    values = [answer["value"] for answer in predict(calls, kernel["ref"], [{"embedding": row.tolist()} for row in z])]
    assert np.corrcoef(values, np.sin(2 * z[:, 0]) + z[:, 1] ** 2)[0, 1] > 0.8
