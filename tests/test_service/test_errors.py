"""Every error has a status, and what is ours is never shown."""

import pytest

import adapters.errors
import models.errors
import service.errors
from models.errors import GraftError, InputError, InternalError, Problem
from service.errors import RETRY_AFTER_S, STATUS, ArtifactCorrupt, Busy, DiskFull, NotReady, problem, status_of


def _below(kind: type[GraftError]) -> set[type[GraftError]]:
    return {kind}.union(*(_below(child) for child in kind.__subclasses__()))


OURS = {models.errors.__name__, adapters.errors.__name__, service.errors.__name__}
KINDS = sorted((kind for kind in _below(GraftError) if kind.__module__ in OURS), key=lambda kind: kind.__name__)
CONCRETE = [kind for kind in KINDS if kind is not GraftError]

MEANT_BY_ANCESTOR = {
    "MethodUnknown": 422,
    "ParameterInvalid": 422,
    "TargetOutOfRange": 422,
    "TaskUnsupported": 422,
    "WeightsCorrupt": 500,
    "ExportFailed": 500,
    "ExportMismatch": 500,
    "ManifestInvalid": 500,
}
"""Errors without a row of their own, and the status that they are meant to inherit."""


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_every_error_is_mapped_by_its_own_row_or_an_intended_ancestor(kind):
    if kind in STATUS:
        assert status_of(kind("x")) == STATUS[kind]
        assert kind.__name__ not in MEANT_BY_ANCESTOR
    else:
        assert status_of(kind("x")) == MEANT_BY_ANCESTOR[kind.__name__]


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_callers_errors_are_4xx_or_say_when_to_come_back_and_ours_are_500(kind):
    status = status_of(kind("x"))
    if issubclass(kind, InternalError):
        assert status == 500
    else:
        assert issubclass(kind, InputError)
        assert 400 <= status < 500 or any(issubclass(kind, later) for later in RETRY_AFTER_S)


def test_codes_are_unique_words():
    codes = [kind.code for kind in CONCRETE]
    assert len(set(codes)) == len(codes)
    assert all(code and code == code.lower() and " " not in code for code in codes)


def test_an_input_errors_problem_says_everything():
    error = service.errors.BodyInvalid(
        "Too long.", problems=[Problem("at most 3", pointer="/a"), Problem("bad", row=2)]
    )
    assert problem(error, "r1") == {
        "type": "urn:graft:problem:body-invalid",
        "title": "Body invalid",
        "status": 422,
        "code": "body-invalid",
        "detail": "Too long.",
        "request_id": "r1",
        "errors": [{"detail": "at most 3", "pointer": "/a"}, {"detail": "bad", "row": 2}],
    }


@pytest.mark.parametrize(
    "kind", sorted(_below(InternalError), key=lambda kind: kind.__name__), ids=lambda k: k.__name__
)
def test_an_internal_errors_message_and_places_are_withheld(kind):
    body = problem(kind("secret /etc/passwd", problems=[Problem("secret", row=1)]), "r1")
    assert "secret" not in str(body)
    assert body["status"] == 500
    assert "request id" in body["detail"]


def test_what_may_succeed_later_says_when():
    assert {Busy: 1, NotReady: 2, DiskFull: 60} == RETRY_AFTER_S
    assert all(seconds > 0 for seconds in RETRY_AFTER_S.values())


def test_a_corrupt_artifact_is_ours():
    assert issubclass(ArtifactCorrupt, InternalError)
