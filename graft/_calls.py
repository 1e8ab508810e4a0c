"""One call to the service: send, repeat when that is safe, decode, and turn a refusal into an error.

send -> (Unreachable, Busy: pause and send again) -> decode | ApiError
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, TypedDict, Unpack

import httpx

from graft._errors import ApiError, Busy, Forbidden, GraftError, NotFound, Timeout, Unauthorized, Unreachable
from graft._retry import Retry
from graft._types import ProblemDetails

REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
"""HTTP methods that may be repeated even when the first attempt may have been acted on."""


REFUSALS: dict[int, type[ApiError]] = {
    httpx.codes.UNAUTHORIZED: Unauthorized,
    httpx.codes.FORBIDDEN: Forbidden,
    httpx.codes.NOT_FOUND: NotFound,
}
"""Statuses that have an error of their own; every other one is an ApiError."""


class Request(TypedDict, total=False):
    """What a call may carry; as in `httpx.Client.request`."""

    params: dict[str, Any]
    headers: dict[str, str]
    json: object
    content: bytes
    data: dict[str, str]
    files: dict[str, tuple[str, IO[bytes]]]


class Calls:
    """Makes calls over one HTTP client."""

    def __init__(self, http: httpx.Client, retry: Retry, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http = http
        self._retry = retry
        self._sleep = sleep

    def json(self, method: str, path: str, *, repeatable: bool = False, **request: Unpack[Request]) -> dict[str, Any]:
        """Call and decode the JSON object in the answer; see `send`."""
        return decode(self.send(method, path, repeatable=repeatable, **request))

    def send(self, method: str, path: str, *, repeatable: bool = False, **request: Unpack[Request]) -> httpx.Response:
        """Call until there is an answer.

        A call that never reached the service, or that it was too busy for, is always repeated. One that broke on the
        way is repeated only where doing it twice does no harm.

        Args:
            method: HTTP method.
            path: Path under the base URL.
            repeatable: A POST that may be made twice (it carries an idempotency key, or changes nothing).
            **request: What the call carries.

        Raises:
            ApiError: The service said no.
            Unreachable: Nothing answered.
            Timeout: No answer within the client's `timeout_s`.
        """
        return self._repeated(lambda: self.once(method, path, **request), repeatable or method in REPEATABLE)

    def _repeated(self, once: Callable[[], httpx.Response], repeatable: bool) -> httpx.Response:
        spent_s = 0.0
        attempt = 0
        while True:
            attempt += 1
            try:
                return once()
            except Unreachable as error:
                if error.sent and not repeatable:
                    raise
                pause_s = self._retry.pause_s(attempt, None, spent_s)
                if pause_s is None:
                    raise
            except Busy as error:
                pause_s = self._retry.pause_s(attempt, error.retry_after_s, spent_s)
                if pause_s is None:
                    raise
            self._sleep(pause_s)
            spent_s += pause_s

    def once(self, method: str, path: str, **request: Unpack[Request]) -> httpx.Response:
        """Call a single time; raises as `send` does."""
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise broken(error, str(self._http.base_url)) from error
        return checked(response)

    @contextmanager
    def stream(self, path: str, *, read_timeout_s: float, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open an answer that is read as it comes; raises as `once` does, also while it is read."""
        timeout = httpx.Timeout(**self._http.timeout.as_dict() | {"read": read_timeout_s})
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                yield checked(response)
        except httpx.TransportError as error:
            raise broken(error, str(self._http.base_url)) from error

    @contextmanager
    def download(self, path: str, *, read_timeout_s: float, **request: Unpack[Request]) -> Iterator[httpx.Response]:
        """POST, and open an answer that is read as it comes; repeated as `send` until it begins, and no further.

        Raises:
            ApiError, Unreachable, Timeout: As `send`; the last two also while it is read.
        """
        timeout = httpx.Timeout(**self._http.timeout.as_dict() | {"read": read_timeout_s})
        response = self._repeated(lambda: self._opened(path, timeout, request), repeatable=True)
        try:
            yield response
        except httpx.TransportError as error:
            raise broken(error, str(self._http.base_url)) from error
        finally:
            response.close()

    def _opened(self, path: str, timeout: httpx.Timeout, request: Request) -> httpx.Response:
        try:
            response = self._http.send(self._http.build_request("POST", path, timeout=timeout, **request), stream=True)
            if response.is_error:
                response.read()
        except httpx.TransportError as error:
            raise broken(error, str(self._http.base_url)) from error
        return checked(response)


def decode(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer.

    Raises:
        ApiError: It is something else, so the address is hardly a Graft service's.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    kind = response.headers.get("content-type", "no content type")
    detail = f"{response.url} answered with {kind} where a JSON object was due. Is a Graft service at that address?"
    raise ApiError(response.status_code, ProblemDetails(detail=detail, code="not-graft", status=response.status_code))


def checked(response: httpx.Response) -> httpx.Response:
    """The answer itself, unless it is a refusal; raises ApiError."""
    if response.is_success:
        return response
    status, details = response.status_code, _details(response)
    if status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
        raise Busy(status, details, retry_after_s(response.headers.get("retry-after"), datetime.now(UTC)))
    raise REFUSALS.get(status, ApiError)(status, details)


def _details(response: httpx.Response) -> ProblemDetails:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and ("detail" in body or "code" in body or "reason" in body):
        return ProblemDetails.from_json({"detail": body.get("reason", "")} | body)
    seen = " ".join(response.text[:200].split())
    detail = f"{response.request.method} {response.url} answered HTTP {response.status_code}" + (
        f": {seen}" if seen else ""
    )
    return ProblemDetails(detail=detail, status=response.status_code)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds in a Retry-After header: a number, or an HTTP date. None where there is none to be read."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def broken(error: httpx.TransportError, url: str) -> GraftError:
    """The error for a connection that was not made, or broke."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unreachable(
            f"Nothing answers at {url} ({error}). Start the service with `make serve` in a checkout of Graft, "
            "or name another address: Client(base_url), --url or GRAFT_URL."
        )
    if isinstance(error, httpx.TimeoutException):
        return Timeout(f"{url} did not answer in time ({type(error).__name__}). Allow more: Client(timeout_s=...).")
    return Unreachable(
        f"The connection to {url} broke ({error or type(error).__name__}). Is the service still up?", sent=True
    )
