"""What a tenant has had embedded, by a fit or a prediction, is not embedded again: through the whole application."""

import time

import pytest

from models.text import TextBackbone


@pytest.fixture
def embedded(monkeypatch):
    """How many texts went through the backbone."""
    seen = []
    real = TextBackbone.run
    monkeypatch.setattr(TextBackbone, "run", lambda self, batch: seen.extend(batch) or real(self, batch))
    return seen


def _predicted(caller, *texts):
    answer = caller.predict("intents", *texts)
    assert answer.status_code == 200
    return [(one["label"], one["probability"]) for one in answer.json()["predictions"]]


def test_predictions_find_what_the_fit_embedded(service, embedded):
    assert service.adapt().status_code == 201
    known = [text for texts in service.words.values() for text in texts]
    embedded.clear()
    first = _predicted(service, *known[:4], "something new", *known[4:])
    assert len(embedded) == 1
    assert _predicted(service, *known) == first[:4] + first[5:]
    assert len(embedded) == 1


def test_a_refit_embeds_the_names_of_the_classes_alone(service, embedded):
    for _ in range(2):
        embedded.clear()
        assert service.adapt().status_code == 201
    assert len(embedded) == len(service.words)


def test_a_text_that_comes_back_is_found_and_only_by_its_tenant(locked, embedded):
    for tenant in (locked.acme, locked.globex):
        assert tenant.adapt().status_code == 201
    embedded.clear()
    answers, deadline = [_predicted(locked.acme, "is it there")], time.monotonic() + 10
    while len(embedded) == len(answers):  # until the writing behind has caught up
        assert time.monotonic() < deadline
        answers.append(_predicted(locked.acme, "is it there"))
        time.sleep(0.01)
    assert len(set(map(str, answers))) == 1
    before = len(embedded)
    assert before >= 2
    assert _predicted(locked.globex, "is it there") == answers[0]
    assert len(embedded) == before + 1


def test_embeddings_and_predictions_share_what_is_known(service, embedded):
    assert service.adapt().status_code == 201
    embedded.clear()
    known = service.words["refund"][0]
    answer = service.client.post("/v1/embeddings", json={"model": "fake", "input": [known]})
    assert answer.status_code == 200
    assert embedded == []
