"""``graft fit``: upload, fit and publish in one line."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID
from rich.table import Table

from graft._backbones import Ranking
from graft._client import Client
from graft._types import Dataset, Job, Version
from graft.cli.adapters import summary
from graft.cli.backbones import ranking_table
from graft.cli.columns import row_of
from graft.cli.jobs import interrupted, stage
from graft.cli.labels import SignaturesOrFile, signatures_id
from graft.cli.options import (
    INTERRUPTED,
    AsJson,
    Columns,
    Group,
    Label,
    Long,
    Modality,
    Strict,
    Target,
    Task,
    Text,
    Url,
    Weight,
    kinds_of,
)
from graft.cli.screen import Screen, facts
from graft.cli.session import session
from graft.cli.uploading import told_of

AUTO = "auto"
"""The backbone that the data choose."""
LONGEST_EXAMPLE = 300
"""Characters of a row that is shown to try a version with."""

EXAMPLES = {"text": '"some text"', "image": "photo.jpg", "audio": "sound.wav", "vector": "vectors.npy"}
"""What may be predicted with a version, to try it."""

Set = Annotated[
    list[str] | None, typer.Option("--set", help="A parameter of the method, KEY=VALUE; may be repeated (prior=names).")
]


def fit(
    data: Annotated[
        str | None,
        typer.Argument(
            help="A CSV, TSV, JSONL, Parquet or .npz file; images or sounds as a folder (of class folders, or with a "
            "metadata.csv) or an archive of one (.zip, .tar); or the id of a dataset, ds_... Left out where signatures "
            "or parents say all there is to learn."
        ),
    ] = None,
    *,
    name: Annotated[str, typer.Option("--name", "-n", help="The adapter; one that exists gets a new version.")],
    method: Annotated[str, typer.Option("--method", "-m", help="auto, or a method's name.")] = "auto",
    parameters: Set = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="Name of a hosted backbone, or auto to compare them (default: the first pretrained one that fits).",
        ),
    ] = None,
    tap: Annotated[
        str | None,
        typer.Option("--tap", help="What of the backbone to learn from: pooled (default), or blocks (any of them)."),
    ] = None,
    peft: Annotated[
        str | None,
        typer.Option(
            "--peft", help="Folder on the service's machine of a LoRA adapter that --method lora starts from."
        ),
    ] = None,
    parents: Annotated[
        list[str] | None,
        typer.Option(
            "--parent",
            help="The version to grow from, name:3, with more rows or new classes; repeated, those that --method "
            "ensemble averages.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Of an ensemble: a number for each parent, with commas between.")
    ] = None,
    signatures: SignaturesOrFile = None,
    long: Long = None,
    modality: Modality = None,
    text: Text = None,
    label: Label = None,
    target: Target = None,
    task: Task = None,
    group: Group = None,
    weight: Weight = None,
    columns: Columns = None,
    strict: Strict = False,
    max_seconds: Annotated[float | None, typer.Option("--max-seconds", min=0, help="Limit on fitting.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Source of all randomness.")] = None,
    promote: Annotated[
        str | None, typer.Option("--promote", help="auto (live unless it is worse), always or never.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start the job and return.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Fit an adapter to a few labelled texts, images, sounds, table rows or vectors: upload, fit, publish in one line.

    Ctrl-C leaves the job running.
    """
    screen = Screen(as_json)
    given = [*(parameters or ()), *([] if weights is None else [_weights(weights)])]
    chosen, kinds = method_of(method, given), kinds_of(columns)
    job: Job | None = None
    try:
        with session(url, screen) as client, screen.progress() as progress:
            bar = progress.add_task("uploading", total=None)
            source = _source(client, data)
            started = client.fit(
                source,
                name=name,
                method=chosen,
                backbone=backbone,
                tap=tap,
                peft=peft,
                parents=parents,
                signatures=signatures_id(client, signatures),
                long=long,
                modality=modality,
                text=text,
                label=label,
                target=target,
                task=task,
                group=group,
                weight=weight,
                columns=kinds,
                strict=strict,
                max_seconds=max_seconds,
                seed=seed,
                promote=promote,
                wait=False,
                on_upload=told_of(progress, bar, source) if isinstance(source, Path) else None,
            )
            job = started if isinstance(started, Job) else None
            if job is not None and no_wait:
                screen.result(job.raw, f"Started {job.id}. Follow it: graft jobs watch {job.id}")
                return
            version = started if isinstance(started, Version) else _wait(client, started, progress, bar)
            job = client.jobs.get(version.job) if version.job else job
            compared = _compared(client, version) if backbone == AUTO and not as_json else None
            unseen = _unseen(client, version) if version.signatures and not as_json else {}
    except KeyboardInterrupt:
        if job is not None:
            interrupted(screen, job.id)
        screen.note("Interrupted before the service had answered; see `graft jobs list` for what it has started.")
        raise typer.Exit(INTERRUPTED) from None
    _show(screen, version, job, compared, unseen)


def method_of(name: str, parameters: list[str]) -> str | dict[str, Any]:
    """A method as the service takes it: its name, or an object where parameters are given.

    Raises:
        typer.BadParameter: A parameter is not KEY=VALUE.
    """
    chosen: dict[str, Any] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{parameter!r} is not KEY=VALUE, such as prior=names.", param_hint="--set")
        try:
            chosen[key] = json.loads(value)
        except ValueError:
            chosen[key] = value
    return {"method": name} | chosen if chosen else name


def _weights(text: str) -> str:
    """As a parameter of the method. Raises typer.BadParameter."""
    try:
        return f"weights={json.dumps([float(weight) for weight in text.split(',')])}"
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no numbers with commas between.", param_hint="--weights") from None


def _source(client: Client, data: str | None) -> Path | Dataset | None:
    if data is None:
        return None
    path = Path(data)
    if data.startswith("ds_") and not path.exists():
        return client.datasets.get(data)
    if not path.is_file() and not path.is_dir():
        raise typer.BadParameter(f"There is no file and no folder {data!r}.", param_hint="DATA")
    return path


def _wait(client: Client, job: Job, progress: Progress, bar: TaskID) -> Version:
    def show(now: Job) -> None:
        progress.update(bar, total=1.0, completed=now.progress, description=stage(now))

    return client.finish_fit(job, on_progress=show)


def _compared(client: Client, version: Version) -> Ranking | None:
    """What the backbone was chosen by; None where there was nothing to choose from."""
    report = client.adapters.report(version.ref)
    rows, why = report.get("backbones"), (report.get("backbone") or {}).get("why", "")
    return Ranking.from_json({"backbones": rows, "why": why}) if rows else None


def _unseen(client: Client, version: Version) -> dict[str, object]:
    """How well classes without examples are told, on classes that were set apart; empty where that was not measured."""
    measured = client.adapters.report(version.ref).get("zero_shot") or {}
    if measured.get("harmonic_mean") is None:
        return {}
    both, raw = measured["harmonic_mean"], (measured.get("raw") or {}).get("harmonic_mean")
    without = "" if raw is None else f"; {raw:.1%} without stacking"
    each = f"{measured['seen_accuracy']:.1%}, {measured['unseen_accuracy']:.1%}"
    return {"seen, unseen": f"{each}  (harmonic mean {both:.1%}{without})"}


def _show(
    screen: Screen, version: Version, job: Job | None, compared: Ranking | None, unseen: dict[str, object]
) -> None:
    about: dict[str, object] = {}
    for name, value in summary(version).items():
        about[name] = value
        about |= unseen if name == "accuracy" else {}
    if job is not None and job.seconds:
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in job.seconds.items())
        about["seconds"] = f"{sum(job.seconds.values()):.2f}  ({stages})"
    about["try it"] = try_it(version)
    view: list[Table | str] = [facts(about)]
    view += ["\nCompared:", ranking_table(compared), f"\n{compared.why}"] if compared else []
    screen.result(version.raw, *view)


def try_it(version: Version) -> str:
    """A command that predicts with a version."""
    return f"graft predict {version.adapter if version.live else version.ref} {_input_for(version)}"


def _input_for(version: Version) -> str:
    if version.modality != "table":
        return EXAMPLES.get(version.modality, "FILE")
    row = row_of(version.columns)
    return shlex.quote(row) if len(row) <= LONGEST_EXAMPLE else "rows.csv"
