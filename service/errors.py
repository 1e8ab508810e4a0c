"""Errors of the service, and the only table of HTTP statuses.

    InputError
    ├── UploadTooLarge, UploadUnreadable, UploadRefused, FormatUnsupported    uploads
    ├── BodyTooLarge, BodyTooSlow, BodyMalformed, BodyInvalid                              request bodies
    ├── NotFound, MethodNotAllowed, Conflict, KeyReused, PreconditionFailed   resources
    ├── Unauthorized, AuthorizationRepeated, KeyMisplaced, Forbidden          keys
    ├── HostRefused, Busy, NotReady, DiskFull                                 the service's own state
    InternalError
    └── ArtifactCorrupt                                                       a stored blob is not what was written

A domain error becomes an RFC 9457 problem through `status_of` and `problem`; a test asserts that every class is mapped.
"""

import re
from http import HTTPStatus
from typing import Any

from adapters.errors import Cancelled, DatasetTooSmall, DeadlineExceeded, FitStopped, RequirementMissing
from models.errors import BackboneUnknown, GraftError, InputError, InternalError, SourceRefused, WrongInput


class UploadTooLarge(InputError):
    """A file, or a part of it, is over a limit."""

    code = "upload-too-large"


class UploadUnreadable(InputError):
    """A file cannot be read as what it says it is."""

    code = "upload-unreadable"


class UploadRefused(InputError):
    """A file was read, but what is in it cannot be learned from."""

    code = "upload-refused"


class FormatUnsupported(InputError):
    """A file or body is of a kind that is not taken."""

    code = "format-unsupported"


class BodyTooLarge(InputError):
    """A request body is over its limit."""

    code = "body-too-large"


class BodyTooSlow(InputError):
    """A request body did not come in time."""

    code = "body-too-slow"


class BodyMalformed(InputError):
    """A request body is not well-formed."""

    code = "body-malformed"


class BodyInvalid(InputError):
    """A request body is well-formed and means nothing here."""

    code = "body-invalid"


class NotFound(InputError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not-found"


class MethodNotAllowed(InputError):
    """The resource exists and does not take this HTTP method."""

    code = "method-not-allowed"


class Conflict(InputError):
    """The resource is in a state that does not allow this."""

    code = "conflict"


class KeyReused(Conflict):
    """An Idempotency-Key was used before, with another request."""

    code = "idempotency-key-reused"


class PreconditionFailed(InputError):
    """The resource changed since it was read."""

    code = "precondition-failed"


class Unauthorized(InputError):
    """There is no key with the request, or none that is known and still good."""

    code = "unauthorized"


class AuthorizationRepeated(InputError):
    """A request has several Authorization headers, so that nobody can say whose it is."""

    code = "authorization-repeated"


class KeyMisplaced(InputError):
    """A key was sent where logs and histories keep it."""

    code = "key-misplaced"


class Forbidden(InputError):
    """The key is good, and is not for this."""

    code = "forbidden"


class HostRefused(InputError):
    """The request names a host or an origin that is not allowed."""

    code = "host-refused"


class Busy(InputError):
    """Too much is waiting already."""

    code = "busy"


class NotReady(InputError):
    """Something that the answer needs is still being prepared."""

    code = "not-ready"


class NotReproducible(InputError):
    """A version cannot be fitted again: what it was made of is not known, or not the same any more."""

    code = "not-reproducible"


class JobStalled(InputError):
    """A job made no progress for longer than it may."""

    code = "job-stalled"


class DiskFull(InputError):
    """There is no room left to store it."""

    code = "disk-full"


class ArtifactCorrupt(InternalError):
    """A stored blob is not what was written."""

    code = "artifact-corrupt"


STATUS: dict[type[GraftError], HTTPStatus] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    BackboneUnknown: HTTPStatus.UNPROCESSABLE_ENTITY,
    SourceRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    WrongInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    DatasetTooSmall: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequirementMissing: HTTPStatus.UNPROCESSABLE_ENTITY,
    FitStopped: HTTPStatus.CONFLICT,
    Cancelled: HTTPStatus.CONFLICT,
    DeadlineExceeded: HTTPStatus.CONFLICT,
    UploadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UploadUnreadable: HTTPStatus.UNPROCESSABLE_ENTITY,
    UploadRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    FormatUnsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    BodyMalformed: HTTPStatus.BAD_REQUEST,
    BodyInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    Conflict: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    AuthorizationRepeated: HTTPStatus.BAD_REQUEST,
    KeyMisplaced: HTTPStatus.BAD_REQUEST,
    Forbidden: HTTPStatus.FORBIDDEN,
    HostRefused: HTTPStatus.FORBIDDEN,
    Busy: HTTPStatus.TOO_MANY_REQUESTS,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReproducible: HTTPStatus.CONFLICT,
    JobStalled: HTTPStatus.UNPROCESSABLE_ENTITY,
    DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    ArtifactCorrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Status of each error; a subclass without a row of its own takes its nearest parent's."""

RETRY_AFTER_S: dict[type[GraftError], int] = {Busy: 1, NotReady: 2, DiskFull: 60}
"""Seconds after which the same request may succeed."""

_WITHHELD = "Something went wrong on our side; the log has the details under this request id."


def status_of(error: GraftError) -> HTTPStatus:
    """Status of an error: its own row, or that of the nearest ancestor that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: GraftError, request_id: str) -> dict[str, Any]:
    """An error as an RFC 9457 problem object; the message of an `InternalError` is withheld."""
    status = status_of(error)
    withheld = isinstance(error, InternalError)
    body: dict[str, Any] = {
        "type": f"urn:graft:problem:{error.code}",
        "title": re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).capitalize(),
        "status": int(status),
        "code": error.code,
        "detail": _WITHHELD if withheld else error.message,
        "request_id": request_id,
    }
    if error.problems and not withheld:
        body["errors"] = [
            {key: value for key, value in vars(item).items() if value is not None} for item in error.problems
        ]
    return body
