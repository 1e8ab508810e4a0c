"""A command's connection to the service: what goes wrong there ends the command with a message and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from graft._client import Client
from graft._errors import ApiError, JobCancelled, JobFailed, Timeout, Unreachable
from graft.cli.options import JOB_FAILED, REFUSED, UNREACHABLE, USAGE
from graft.cli.screen import Screen


@contextmanager
def session(url: str | None, screen: Screen) -> Iterator[Client]:
    """Open a client; on an error, show it and exit (see `graft --help` for the codes)."""
    try:
        with Client(url) as client:
            yield client
    except ApiError as error:
        screen.failure(error.detail, error.problems, error.request_id)
        raise typer.Exit(REFUSED) from error
    except (Unreachable, Timeout) as error:
        screen.failure(str(error))
        raise typer.Exit(UNREACHABLE) from error
    except (JobFailed, JobCancelled) as error:
        screen.failure(str(error), error.problems if isinstance(error, JobFailed) else ())
        raise typer.Exit(JOB_FAILED) from error
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        screen.failure(str(error))
        raise typer.Exit(USAGE) from error


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; without a terminal to ask at, `--yes` has to be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} There is no terminal to answer at; say --yes.")
    typer.confirm(question, abort=True, err=True)
