"""``graft refit``: fit a version again, to see that it comes out the same."""

import typer

from graft._refit import Refit
from graft._types import Job
from graft.cli.jobs import interrupted, stage
from graft.cli.options import INTERRUPTED, REFUSED, AsJson, Ref, Url
from graft.cli.screen import Screen, counted
from graft.cli.session import session


def refit(ref: Ref, url: Url = None, as_json: AsJson = False) -> None:
    """Fit a version again from what it was made of, and compare the bytes; nothing is published.

    Exits with 0 where it came out the same, and with 1 where it did not.
    """
    screen = Screen(as_json)
    job: Job | None = None
    try:
        with session(url, screen) as client, screen.progress() as progress:
            bar = progress.add_task("fitting again", total=1.0)

            def moved(now: Job) -> None:
                nonlocal job
                job = now
                progress.update(bar, completed=now.progress, description=stage(now))

            found = client.refit(ref, on_progress=moved)
    except KeyboardInterrupt:
        if job is not None:
            interrupted(screen, job.id)
        raise typer.Exit(INTERRUPTED) from None
    screen.result(found.raw, told(found))
    if not found.same:
        raise typer.Exit(REFUSED)


def told(found: Refit) -> str:
    """What came of it, in a line."""
    if found.same:
        return f"{found.adapter} came out the same, byte for byte ({counted(len(found.files), 'file')})."
    which = f" in {', '.join(found.differing)}" if found.differing else ""
    why = " ".join(found.differs_because) or "Nothing that is known of it explains why."
    return f"{found.adapter} came out different{which}. {why}"
