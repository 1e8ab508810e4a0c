"""Graft's front door: the Python client of a Graft service (and, in `graft.cli`, its command line).

    from graft import Client

    with Client() as client:
        version = client.fit("intents.csv", name="intents")
        answers = client.predict("intents", ["my card has not arrived"])

Everything here talks HTTP; nothing here embeds, fits or stores.
"""

from graft._answers import InputWarning, Neighbour, PredictedFile, Prediction, Predictions
from graft._backbones import Backbone, Ranked, Ranking
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
from graft._refit import Digests, Refit
from graft._retry import Retry
from graft._signatures import Signatures
from graft._types import (
    Adapter,
    Alias,
    Column,
    Dataset,
    Job,
    Key,
    Metrics,
    Problem,
    ProblemDetails,
    Readiness,
    Target,
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
    "Column",
    "Dataset",
    "Digests",
    "Forbidden",
    "GraftError",
    "InputWarning",
    "Job",
    "JobCancelled",
    "JobFailed",
    "Key",
    "Metrics",
    "Neighbour",
    "NotFound",
    "PredictedFile",
    "Prediction",
    "Predictions",
    "Problem",
    "ProblemDetails",
    "Ranked",
    "Ranking",
    "Readiness",
    "Refit",
    "Retry",
    "Signatures",
    "Target",
    "Timeout",
    "Unauthorized",
    "Unreachable",
    "Version",
    "__version__",
]
