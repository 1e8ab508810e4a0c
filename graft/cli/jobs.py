"""``graft jobs``: work in the service's queue."""

from typing import Annotated

import typer

from graft._types import Job
from graft.cli.options import EPILOG, INTERRUPTED, JOB_FAILED, AsJson, Limit, Url
from graft.cli.screen import Screen, facts, problem_table, table
from graft.cli.session import session

app = typer.Typer(help="Work in the service's queue.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The job's id, job_...")]
KINDS = {"adapt": "adapter", "host": "backbone", "rank": "dataset", "refit": "adapter", "version": "adapter"}
"""What a job is about, by its kind."""

State = Annotated[
    str | None, typer.Option("--state", help="Only those queued, running, succeeded, failed or cancelled.")
]


@app.command("list", epilog=EPILOG)
def list_jobs(state: State = None, limit: Limit = None, url: Url = None, as_json: AsJson = False) -> None:
    """List jobs."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.jobs.list(state=state, limit=limit)
    rows = ((j.id, j.kind, _about(j), j.state, j.stage, f"{j.progress:.0%}", j.created_at) for j in found)
    headers = ("job", "kind", "of", "state", "stage", "done", "created")
    screen.result([dict(j.raw) for j in found], table(headers, rows))


@app.command(epilog=EPILOG)
def show(job: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show one job."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        _show(screen, client.jobs.get(job))


@app.command(epilog=EPILOG)
def watch(job: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Follow a job to its end; exits with 4 when it fails or is cancelled."""
    screen = Screen(as_json)
    last = None
    try:
        with session(url, screen) as client, screen.progress() as progress:
            bar = progress.add_task("waiting", total=1.0)
            # Asked first: a service that is away now is an error, one that goes away later is waited for.
            client.jobs.get(job)
            for last in client.jobs.events(job):
                progress.update(bar, completed=last.progress, description=stage(last))
    except KeyboardInterrupt:
        interrupted(screen, job)
    if last is not None:
        _show(screen, last)
        if last.state != "succeeded":
            raise typer.Exit(JOB_FAILED)


@app.command(epilog=EPILOG)
def cancel(job: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Ask a job to stop."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        asked = client.jobs.cancel(job)
    screen.result(asked.raw, f"{job} was asked to stop; it is {asked.state}.")


def stage(job: Job) -> str:
    """What a job is doing, in a word."""
    return job.stage if job.state == "running" and job.stage else job.state


def interrupted(screen: Screen, job: str) -> None:
    """Leave a job running after Ctrl-C: say how to go on, and exit."""
    screen.note(f"{job} goes on in the service. Follow it: graft jobs watch {job}. Stop it: graft jobs cancel {job}.")
    raise typer.Exit(INTERRUPTED)


def _about(job: Job) -> str:
    """What it makes: a version, an adapter to be, a backbone; or what it looks at."""
    if job.kind == "refit" and not job.adapter:
        return str((job.result or {}).get("adapter", ""))
    if job.kind in {"host", "rank"}:
        return job.backbone or job.dataset
    return f"{job.adapter}:{job.version}" if job.version is not None else job.adapter


def _show(screen: Screen, job: Job) -> None:
    about = {
        "job": job.id,
        "state": job.state,
        "stage": job.stage,
        "done": f"{job.progress:.0%}",
        KINDS.get(job.kind, "of"): _about(job),
        "attempts": job.attempts,
        "created": job.created_at,
        "finished": job.finished_at,
        "seconds": ", ".join(f"{name} {seconds:.2f}" for name, seconds in job.seconds.items()),
    }
    if job.error:
        about["error"] = job.error.detail
    problems = job.error.problems if job.error else ()
    screen.result(job.raw, facts(about), *([problem_table(problems)] if problems else []))
