"""The child process in which fits run: kept warm, killed to cancel, its memory watched from outside.

Commands come as JSON lines on standard input, answers go as JSON lines on standard output:

    {"do": "host", "entry": {...}, "pointer": true}  ->  {"stage": ..., "progress": ...}*  {"done": {...}}
    {"do": "fit", "order": {...}}                    ->  the same, or {"failed": {...}}
    {"do": "rank", "order": {...}}                   ->  the same

Run by `service/jobs/fitter.py` as ``python -m service.jobs.child``.
"""

import json
import logging
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from models.catalog import Entry
from models.errors import GraftError, InternalError
from models.hosted import host
from models.warm import Limits
from service.errors import problem
from service.jobs.fit import Fitting
from service.jobs.order import Order
from service.jobs.progress import OnStage
from service.jobs.rank import RankOrder
from service.processes import configure_logging, end_with_parent
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.embeddings import EmbeddingCache

_logger = logging.getLogger("service.jobs.child")  # run with -m, its __name__ is __main__


def _answers() -> IO[str]:
    """Keep standard output for answers: whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def obey(command: dict[str, Any], fitting: Fitting, folder: Path, on_stage: OnStage) -> dict[str, Any]:
    """Do what a command says.

    Args:
        command: See above.
        fitting: What fits and ranks.
        folder: Of hosted backbones.
        on_stage: Called with each stage and share.

    Returns:
        The answer, plain JSON values.

    Raises:
        GraftError: It cannot be done.
    """
    if command["do"] == "warm":
        fitting.warm()
        return {}
    if command["do"] == "host":
        card = host(Entry.from_dict(command["entry"]), folder, on_stage, pointer=command["pointer"])
        os.utime(folder / card.digest)  # it is wanted again: a sweep must not take it for left over
        return {"card": asdict(card), "torch": "torch" in sys.modules}
    if command["do"] == "rank":
        return fitting.rank(RankOrder(**command["order"]), on_stage)
    return asdict(fitting.run(Order(**command["order"]), on_stage))


def failure(error: Exception) -> dict[str, Any]:
    """An error as the problem object that the job shows; what is ours is logged and withheld."""
    if isinstance(error, GraftError) and not isinstance(error, InternalError):
        return problem(error, "")
    _logger.error("a command failed", exc_info=error)
    return problem(error if isinstance(error, GraftError) else InternalError(str(error)), "")


def main() -> None:
    """Serve commands until standard input ends."""
    answers = _answers()
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    end_with_parent()
    home = settings.home.resolve()
    cache = EmbeddingCache(home / "cache", settings.cache_bytes, min_free_bytes=settings.min_free_bytes)
    limits = Limits(settings.gpu_memory_bytes, settings.max_image_pixels, settings.max_sound_s)
    fitting = Fitting(Blobs(home), settings.backbones_dir, settings.threads_for_fitting, time.monotonic, cache, limits)

    saying = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        line = json.dumps(message) + "\n"
        with saying:  # progress is told by a thread of its own
            answers.write(line)

    for line in sys.stdin:
        try:
            done = obey(
                json.loads(line),
                fitting,
                settings.backbones_dir,
                lambda stage, share: say({"stage": stage, "progress": share}),
            )
        except Exception as error:
            say({"failed": failure(error)})
        else:
            say({"done": done})


if __name__ == "__main__":
    main()
