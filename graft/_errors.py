"""What can go wrong when talking to a service.

GraftError
├── Unreachable     nothing answered at the address
├── Timeout         the answer, or the end of a job, did not come within the time allowed
├── JobFailed       the job ended in an error
├── JobCancelled    somebody cancelled the job
└── ApiError        the service said no
    ├── Unauthorized  there is no key, or it is not known (401)
    ├── Forbidden     the key is not for this (403)
    ├── NotFound      no such thing (404)
    └── Busy          too many requests, or not ready yet (429, 503)
"""

from graft._types import Job, Problem, ProblemDetails


class GraftError(Exception):
    """Root of every error raised on purpose."""


class Unreachable(GraftError):
    """Nothing answered at the address.

    Attributes:
        sent: The request may have been acted on before the connection broke.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class Timeout(GraftError):
    """The answer, or the end of a job, did not come within the time allowed."""


class JobFailed(GraftError):
    """The job ended in an error. `job.error` has the details."""

    def __init__(self, job: Job) -> None:
        detail = job.error.detail if job.error else "the service gave no reason"
        super().__init__(f"Job {job.id} failed: {detail}")
        self.job = job

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Places in the input that are to blame."""
        return self.job.error.problems if self.job.error else ()


class JobCancelled(GraftError):
    """Somebody cancelled the job."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"Job {job.id} was cancelled.")
        self.job = job


class ApiError(GraftError):
    """The service said no.

    Attributes:
        status: HTTP status.
        details: The whole problem (RFC 9457).
    """

    def __init__(self, status: int, details: ProblemDetails) -> None:
        super().__init__(details.detail or details.title or f"HTTP {status}")
        self.status = status
        self.details = details

    @property
    def code(self) -> str:
        """Stable word for programs, such as ``dataset-too-small``."""
        return self.details.code

    @property
    def detail(self) -> str:
        """What was seen, the limit and the remedy."""
        return str(self)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Places in the input that are to blame."""
        return self.details.problems

    @property
    def request_id(self) -> str | None:
        """What to quote when asking about it."""
        return self.details.request_id


class Unauthorized(ApiError):
    """There is no key, or it is unknown or revoked (401). Give one: ``Client(key=...)`` or GRAFT_KEY."""


class Forbidden(ApiError):
    """The key is not for this (403); the message names the scope that is needed."""


class NotFound(ApiError):
    """No such thing (404)."""


class Busy(ApiError):
    """Too many requests, or not ready yet (429, 503). `retry_after_s`: when the service asks to try again."""

    def __init__(self, status: int, details: ProblemDetails, retry_after_s: float | None = None) -> None:
        super().__init__(status, details)
        self.retry_after_s = retry_after_s
