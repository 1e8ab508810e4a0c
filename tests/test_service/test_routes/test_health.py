"""/livez, /readyz and the front door."""


def test_ready_when_every_backbone_is_open(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reason": ""})
    assert client.get("/livez").status_code == 200


def test_not_ready_says_what_is_being_prepared(service):
    service.state.backbones._cards.clear()
    answer = service.client.get("/readyz")
    assert answer.status_code == 503
    assert "fake" in answer.json()["reason"]
    assert answer.headers["retry-after"] == "2"
    assert service.client.get("/livez").status_code == 200
    (shown,) = service.client.get("/v1/backbones").json()["data"]
    assert (shown["id"], shown["state"]) == ("fake", "preparing")


def test_a_browser_is_led_to_the_docs(client):
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_backbones_are_shown(client):
    listed = client.get("/v1/backbones").json()
    assert (listed["has_more"], [item["id"] for item in listed["data"]]) == (False, ["fake"])
    shown = client.get("/v1/backbones/fake").json()
    assert shown == listed["data"][0]
    assert (shown["state"], shown["modality"], shown["taps"]) == ("ready", "text", {"pooled": [64]})
    unknown = client.get("/v1/backbones/bert-huge")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    assert "fake" in unknown.json()["detail"]
