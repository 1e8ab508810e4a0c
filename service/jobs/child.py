"""The child process in which fits run: kept warm, killed to cancel, its memory watched from outside.

Commands come as JSON lines on standard input, answers go as JSON lines on standard output:

    {"do": "host", "backbone": "minilm-l6"}  ->  {"stage": ..., "progress": ...}*  {"done": {...}}
    {"do": "fit", "order": {...}}            ->  {"stage": ..., "progress": ...}*  {"done": {...}} or {"failed": {...}}

Run by `service/jobs/fitter.py` as ``python -m service.jobs.child``.
"""

import json
import logging
import os
import sys
import time
from dataclasses import asdict
from typing import IO, Any

from models.catalog import entry
from models.errors import GraftError, InternalError
from models.hosted import host
from service.errors import problem
from service.jobs.fit import Fitting, OnStage, Order
from service.processes import configure_logging, end_with_parent
from service.settings import Settings
from service.store.blobs import Blobs

_logger = logging.getLogger("service.jobs.child")  # run with -m, its __name__ is __main__


def _answers() -> IO[str]:
    """Keep standard output for answers: whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def _command(command: dict[str, Any], fitting: Fitting, settings: Settings, on_stage: OnStage) -> dict[str, Any]:
    if command["do"] == "warm":
        fitting.warm()
        return {}
    if command["do"] == "host":
        card = host(entry(command["backbone"]), settings.backbones_dir, on_stage)
        return {"card": asdict(card), "torch": "torch" in sys.modules}
    return asdict(fitting.run(Order(**command["order"]), on_stage))


def failure(error: Exception) -> dict[str, Any]:
    """An error as the problem object that the job shows; what is ours is logged and withheld."""
    if isinstance(error, GraftError) and not isinstance(error, InternalError):
        return problem(error, "")
    _logger.error("fit failed", exc_info=error)
    return problem(error if isinstance(error, GraftError) else InternalError(str(error)), "")


def main() -> None:
    """Serve commands until standard input ends."""
    answers = _answers()
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    end_with_parent()
    fitting = Fitting(
        Blobs(settings.home.resolve()), settings.backbones_dir, settings.threads_for_fitting, time.monotonic
    )

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    for line in sys.stdin:
        try:
            done = _command(
                json.loads(line), fitting, settings, lambda stage, share: say({"stage": stage, "progress": share})
            )
        except Exception as error:
            say({"failed": failure(error)})
        else:
            say({"done": done})


if __name__ == "__main__":
    main()
