"""Graft's front door: the Python client of a Graft service (and, in `graft.cli`, its command line).

    from graft import Client

    with Client() as client:
        version = client.fit("intents.csv", name="intents")
        answers = client.predict("intents", ["my card has not arrived"])

Everything here talks HTTP; nothing here embeds, fits or stores.
"""

from graft._client import Client
from graft._errors import (
    ApiError,
    Busy,
    Forbidden,
    GraftError,
    JobCancelled,
    JobFailed,
    NotFound,
    Timeout,
    Unauthorized,
    Unreachable,
)
from graft._retry import Retry
from graft._types import (
    Adapter,
    Alias,
    Backbone,
    Dataset,
    Job,
    Key,
    Metrics,
    Prediction,
    Problem,
    ProblemDetails,
    Readiness,
    Version,
)
from graft._version import __version__

__all__ = [
    "Adapter",
    "Alias",
    "ApiError",
    "Backbone",
    "Busy",
    "Client",
    "Dataset",
    "Forbidden",
    "GraftError",
    "Job",
    "JobCancelled",
    "JobFailed",
    "Key",
    "Metrics",
    "NotFound",
    "Prediction",
    "Problem",
    "ProblemDetails",
    "Readiness",
    "Retry",
    "Timeout",
    "Unauthorized",
    "Unreachable",
    "Version",
    "__version__",
]
