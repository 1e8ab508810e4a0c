"""``graft keys``: what a person sees of a key."""

import json


def test_create_shows_the_key_once_with_what_to_do(run, fake, messages):
    result = run("keys", "create", "--tenant", "acme", "--scopes", "predict, fit", "--name", "laptop")
    assert json.loads(fake.requests[0].content) == {"scopes": ["predict", "fit"], "name": "laptop", "tenant": "acme"}
    assert result.stdout.splitlines().count(messages["key"]) == 1, "on a line of its own, to be copied"
    assert "shown once" in result.stdout
    assert "GRAFT_KEY" in result.stdout


def test_create_as_json_is_for_programs(run, messages):
    assert json.loads(run("keys", "create", "--scopes", "admin", "--json").stdout)["key"] == messages["key"]


def test_the_list_has_no_texts(run, fake):
    out = run("keys", "list", "--tenant", "acme").stdout
    for part in ("0123456789ab", "acme", "laptop", "predict, fit"):
        assert part in out
    assert fake.requests[0].url.params["tenant"] == "acme"


def test_revoke_says_the_id_alone(run, fake, messages):
    result = run("keys", "revoke", messages["key"], "--yes")
    assert result.stdout == "Revoked 0123456789ab.\n"
    assert [request.url.path for request in fake.requests] == ["/v1/keys/0123456789ab"]
