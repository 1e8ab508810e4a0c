"""Idempotency-Keys: the same request again makes nothing new."""

import pytest

from service.database.engine import writing
from service.errors import BodyInvalid, Conflict, KeyReused
from service.registry import requests
from service.registry.requests import Key, key_of


def _remember(engine, key, resource):
    with writing(engine) as connection:
        requests.remember(connection, key, resource)


def test_no_header_is_no_key(engine):
    assert key_of("t", None, 1.0, "x") is None
    assert requests.recall(engine, None) is None


@pytest.mark.parametrize("header", ["", "k" * 256])
def test_a_key_has_1_to_255_characters(header):
    with pytest.raises(BodyInvalid, match="it takes 1 to 255"):
        key_of("t", header, 1.0, "x")


def test_the_fingerprint_tells_where_one_part_ends():
    assert key_of("t", "k", 1.0, "ab", "c") != key_of("t", "k", 1.0, "a", "bc")
    assert key_of("t", "k", 1.0, "a", b"b") == key_of("t", "k", 1.0, "a", "b")


def test_a_key_is_recalled_for_the_same_request_alone(engine):
    key = key_of("t", "k", 1.0, "body")
    assert requests.recall(engine, key) is None
    _remember(engine, key, "job_1")
    assert requests.recall(engine, key_of("t", "k", 9.0, "body")) == "job_1"
    assert requests.recall(engine, key_of("other", "k", 1.0, "body")) is None
    with pytest.raises(KeyReused, match="job_1"):
        requests.recall(engine, key_of("t", "k", 1.0, "another body"))


def test_the_second_of_two_at_the_same_moment_is_refused(engine):
    key = Key("t", "k", "f", 1.0)
    _remember(engine, key, "job_1")
    with pytest.raises(Conflict, match="send it again"):
        _remember(engine, key, "job_2")
    _remember(engine, key, "job_1")
    assert requests.recall(engine, key) == "job_1"


def test_old_keys_are_forgotten(engine):
    for name, at_s in (("old", 1.0), ("young", 5.0)):
        _remember(engine, Key("t", name, "f", at_s), name)
    requests.forget(engine, before_s=5.0)
    assert requests.recall(engine, Key("t", "old", "f", 9.0)) is None
    assert requests.recall(engine, Key("t", "young", "f", 9.0)) == "young"
