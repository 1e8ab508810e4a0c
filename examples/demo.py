"""The whole of Graft in one run: start the service, fit twelve support intents, classify sentences it has not seen.

    make demo

The service listens on a free loopback port and stops with the demo. Its state lies in ``.graft/demo``: the backbone is
prepared there once (the first run takes half a minute longer), and is found there by the next run.
"""

import argparse
import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from graft import Client, GraftError, Job, Prediction, Timeout, Version

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
START_S = 300.0
"""Longest wait for the service; the first start exports the backbone."""
STOP_S = 20.0
"""Longest wait for the service to stop by itself."""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What the demo shows."""

    version: Version
    predictions: Sequence[Prediction]
    seconds: float
    """From the start of the upload to the first answer."""


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own, its output in `log`; it is stopped whatever happens."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield child
        finally:
            stop(child)


def stop(child: subprocess.Popen[bytes], wait_s: float = STOP_S) -> None:
    """Stop a child and what it started: politely, and then not."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(wait_s)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def wait_ready(client: Client, child: subprocess.Popen[bytes], progress: Progress, wait_s: float = START_S) -> None:
    """Wait until the service can answer. Raises DemoFailed when it ends, or is not ready in time."""
    bar = progress.add_task("starting the service", total=None)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            client.ready(timeout_s=0.5)
        except Timeout as error:
            if child.poll() is not None:
                raise DemoFailed(f"The service ended with exit code {child.returncode} before it was ready.") from error
            if time.monotonic() > deadline:
                raise DemoFailed(str(error)) from error
        else:
            progress.update(bar, total=1, completed=1, description="the service is ready")
            return


def fit_and_predict(client: Client, progress: Progress, texts: Sequence[str]) -> Outcome:
    """Upload, fit, and classify."""
    bar = progress.add_task("uploading", total=1.0)

    def show(job: Job) -> None:
        progress.update(bar, completed=job.progress, description=job.stage or job.state)

    started = time.monotonic()
    version = client.fit(EXAMPLES / "intents.csv", name="intents", on_progress=show)
    predictions = client.predict("intents", texts[:1])
    seconds = time.monotonic() - started
    progress.update(bar, completed=1.0, description="fitted and served")
    return Outcome(version, predictions + client.predict("intents", texts[1:]), seconds)


def unseen() -> list[tuple[str, str]]:
    """Sentences that are not in the upload, each with the label that a person gave it."""
    with (EXAMPLES / "unseen.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["expected"]) for row in csv.DictReader(file)]


def show(console: Console, outcome: Outcome, expected: Sequence[tuple[str, str]]) -> None:
    """Print the answers, and how good and how quick they were."""
    table = Table("text", "label", "probability", "", box=None, pad_edge=False, header_style="bold")
    right = 0
    for (text, label), answer in zip(expected, outcome.predictions, strict=True):
        hit = answer.label == label
        right += hit
        verdict = "[green]right[/]" if hit else f"[red]wrong[/], expected {escape(label)}"
        table.add_row(escape(text), escape(answer.label), f"{answer.probability:.2f}", verdict)
    console.print(table)
    metrics = outcome.version.metrics
    console.print(f"\n{right} of {len(expected)} unseen sentences are right ({right / len(expected):.0%}).")
    if metrics.accuracy is not None and metrics.accuracy_interval is not None:
        low, high = metrics.accuracy_interval
        console.print(f"Cross-validated on the upload: {metrics.accuracy:.0%} (95% interval {low:.0%} to {high:.0%}).")
    console.print(
        f"{outcome.seconds:.1f} s from the start of the upload to the first answer, by {outcome.version.ref}."
    )


def demo(console: Console, home: Path) -> None:
    """Run the demo. Raises DemoFailed and GraftError."""
    expected = unseen()
    url = f"http://127.0.0.1:{(port := free_port())}"
    log = home / "demo.log"
    command = [sys.executable, "-m", "graft.cli", "serve", "--port", str(port), "--home", str(home)]
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with running(command, log) as child, Client(url) as client:
        with Progress(*columns, console=console) as progress:
            wait_ready(client, child, progress)
            outcome = fit_and_predict(client, progress, [text for text, _ in expected])
        show(console, outcome, expected)
    console.print(f"\nThe service has stopped. Its state is in {home}, its log in {log}.")
    console.print("Go on with: make serve, then .venv/bin/graft fit examples/intents.csv --name intents")


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description="Start the service, fit, predict, stop.")
    parser.add_argument("--home", type=Path, default=ROOT / ".graft" / "demo", help="folder of the service's state")
    home = parser.parse_args().home.resolve()
    console = Console(highlight=False)
    # A service manager or CI that stops the demo must not leave the service behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo(console, home)
    except KeyboardInterrupt:
        console.print("\nInterrupted; the service has stopped.")
        return 130
    except (DemoFailed, GraftError, OSError) as error:
        console.print(f"\n[bold red]The demo failed:[/] {type(error).__name__}: {escape(str(error))}", soft_wrap=True)
        show_end(console, home / "demo.log")
        return 1
    return 0


def show_end(console: Console, log: Path, lines: int = 30) -> None:
    """Print the end of the service's log."""
    if log.is_file():
        console.print(f"The end of {log}:")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
            console.print(f"  {line}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
