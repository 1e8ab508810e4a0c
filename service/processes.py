"""What every process of the service does alike: end when its parent ends, and log in one shape."""

import gc
import json
import logging
import os
import sys
import threading
import time
from typing import Any

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Environment of processes that multiply: heads and fits are small; more BLAS threads spin and made comparisons up
to 30 times slower. Sessions that embed have threads of their own."""

_PARENT_POLL_S = 0.5
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def end_with_parent(parent: int | None = None) -> None:
    """End this process at once when its parent has gone (killed parents cannot tell their children).

    Args:
        parent: The parent's process id; without it, whoever is the parent now: one that is gone already is not noticed.
    """
    expected = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == expected:
            time.sleep(_PARENT_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def calm_collector() -> None:
    """Let the garbage collector pass over what was made at the start, and look more rarely at the rest.

    What a request makes is freed by counting; a full collection would only stop all requests for some 100 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)


def exists(pid: int) -> bool:
    """A process of that id runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to somebody else
        return True
    return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, event, and the fields given as `extra`. Never user content."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line: dict[str, Any] = {
            "at": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _PLAIN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str) -> None:
    """Send the logs of our packages to standard error; called by entry points only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("service", "adapters", "models"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
