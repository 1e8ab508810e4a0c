"""Weighted averages of versions on a real server."""

import random

import pytest

from graft import ApiError, NotFound

pytestmark = pytest.mark.slow

TOPICS = {
    "refund": ["money back", "refund my order", "return the payment", "reimburse me", "charged twice"],
    "delivery": ["where is my parcel", "not delivered", "shipping is late", "courier lost it", "tracking number"],
    "password": ["forgot my password", "reset link", "cannot log in", "new password", "locked account"],
}
ROWS = [(f"{around} {text}", label) for label, texts in TOPICS.items() for text in texts for around in ("hello", "now")]
QUESTIONS = {"I want my money back": "refund", "the parcel was never delivered": "delivery", "log in fails": "password"}


@pytest.fixture(scope="module")
def client(make_shared):
    server = make_shared(backbones="minilm-l6").start()
    with server.client as made:
        yield made


@pytest.fixture(scope="module")
def members(client):
    """Three versions of the same labels: two that learned, one that knows the labels alone."""
    dataset = client.datasets.upload(ROWS)
    learned = [client.fit(dataset, name=name, method=name).ref for name in ("logistic", "prototype")]
    words = {label: texts[:2] for label, texts in TOPICS.items()}
    return dataset, [*learned, client.version("words", labels=words, backbone="minilm-l6").ref]


@pytest.fixture(scope="module")
def average(client, members):
    dataset, refs = members
    return client.fit(dataset, name="average", method="ensemble", parents=refs)


def test_it_is_one_version_that_answers(client, members, average):
    _, refs = members
    assert set(average.parents) <= set(refs)
    answers = client.predict("average", list(QUESTIONS))
    assert [answer.label for answer in answers] == list(QUESTIONS.values())
    assert client.adapters.onnx("average:1")
    found = client.refit(average.ref)
    assert found.same, (found.differing, found.differs_because)


def test_weights_that_are_given_need_no_rows(client, members):
    _, refs = members
    method = {"method": "ensemble", "weights": [3, 1]}
    version = client.fit(name="given", method=method, parents=refs[:2])
    assert version.calibrated is False
    [both] = client.predict(version.ref, ["my card was charged twice"], top_k=3)
    single = [dict(client.predict(ref, ["my card was charged twice"], top_k=3)[0].top) for ref in refs[:2]]
    low, high = sorted(probabilities["refund"] for probabilities in single)
    assert low - 0.05 <= both.probability <= high + 0.05, "an average lies between"


def test_a_version_that_is_held_stays(client, members, average):
    """What it was made of can be deleted only after it."""
    _, refs = members
    held = refs[0]
    with pytest.raises(ApiError) as refused:
        client.adapters.delete_version(held)
    assert refused.value.status == 409
    assert "average:1" in refused.value.detail
    with pytest.raises(NotFound):
        client.fit(name="never", method={"method": "ensemble", "weights": [1, 1]}, parents=[held, "nobody:7"])
    other = client.version("animals", labels=["tiger", "lion"], backbone="minilm-l6").ref
    with pytest.raises(ApiError, match="no label in common"):
        client.fit(name="never", method={"method": "ensemble", "weights": [1, 1]}, parents=[held, other])
    for weights in ([0, 0], [-1, 2]):
        with pytest.raises(ApiError) as refused:
            client.fit(name="never", method={"method": "ensemble", "weights": weights}, parents=refs[:2])
        assert refused.value.status == 422


def _word_vectors(folder):
    """A file of vectors for the words of the topics."""
    chance = random.Random(0)
    words = sorted({word for text, _ in ROWS for word in text.split()})
    rows = (" ".join([word, *(f"{chance.gauss(0, 1):.4f}" for _ in range(16))]) for word in words)
    path = folder / "words.txt"
    path.write_text("\n".join(rows))
    return path


def test_two_backbones_answer_side_by_side_and_do_so_after_a_restart(make_server, tmp_path):
    path = _word_vectors(tmp_path)
    server = make_server(backbones="fake")
    server.environment = {"GRAFT_BACKBONE_FOLDERS": str(tmp_path)}
    server.start()
    with server.client as client:
        client.backbones.add("words", {"words": str(path), "format": "glove"})
        dataset = client.datasets.upload(ROWS)
        refs = [client.fit(dataset, name=name, method="ridge", backbone=name).ref for name in ("fake", "words")]
        average = client.fit(dataset, name="average", method="ensemble", parents=refs)
        assert set(average.parents) <= set(refs)
        client.fit(name="given", method={"method": "ensemble", "weights": [1, 2]}, parents=refs)
        before = [answer.top for answer in client.predict("given", list(QUESTIONS), top_k=3)]
        with pytest.raises(ApiError, match=r"words:1.*needs to answer"):
            client.backbones.remove("words")
    assert server.stop() == 0
    server.start()
    with server.client as client:
        assert [answer.top for answer in client.predict("given", list(QUESTIONS), top_k=3)] == before
        for ref in ("given:1", average.ref):
            found = client.refit(ref)
            assert found.same, (found.differing, found.differs_because)
