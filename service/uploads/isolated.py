"""Runs a reader in a process of its own, which may crash, hang or eat memory without harm to this one.

Parquet is decoded by a large native library, and a damaged file can make it abort the whole process. What goes in and
what comes out is JSON, never pickle: a child that was taken over could not hand back code. Whole tables come out as a
Parquet file of plain columns that the child has written (`parquet_rewrite`).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from models.errors import InputError, Problem
from service.errors import FormatUnsupported, UploadRefused, UploadTooLarge, UploadUnreadable

_TIME_S = 60
_CPU_S = 60
_MEMORY_BYTES = 4 * 1024**3
_ERRORS = {kind.__name__: kind for kind in (FormatUnsupported, UploadRefused, UploadTooLarge, UploadUnreadable)}
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from importlib import import_module; import_module(sys.argv[2]).main()"
)


def run_isolated(module: str, request: Mapping[str, object]) -> dict[str, Any]:
    """Calls `module.main` in a child, with `request` as JSON on its standard input, and returns its JSON answer.

    Cost: about 0.4 s to start Python and import the reader's library.

    Raises:
        UploadUnreadable: The child crashed, or took longer than 60 s.
        InputError: Whatever `answer` reported from within the child.
    """
    command = [sys.executable, "-c", _START, json.dumps(sys.path), module]
    try:
        child = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=_TIME_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UploadUnreadable(
            f"The file could not be read within {_TIME_S} s, which is the limit. Send it as CSV or JSON Lines."
        ) from None
    if child.returncode:
        raise UploadUnreadable(
            f"The file is damaged: its reader stopped with code {child.returncode}. Write it again, or send it as CSV."
        )
    reply: dict[str, Any] = json.loads(child.stdout)
    if "error" in reply:
        problems = [Problem(**problem) for problem in reply["problems"]]
        raise _ERRORS.get(reply["error"], UploadUnreadable)(reply["message"], problems=problems)
    return reply


def answer(read: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The child's side: limits itself, reads the request, writes the answer of `read` or the error that it raised."""
    _limit_itself()
    try:
        reply = read(json.load(sys.stdin))
    except InputError as error:
        problems = [vars(problem) for problem in error.problems]
        reply = {"error": type(error).__name__, "message": error.message, "problems": problems}
    json.dump(reply, sys.stdout)


def _limit_itself() -> None:
    try:
        import resource
    except ImportError:  # not a Unix; the time limit of the parent is left
        return
    for kind, limit in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CPU, _CPU_S), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (allowed, hard))
