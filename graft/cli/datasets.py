"""``graft datasets``: uploaded labelled items."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graft._types import Dataset
from graft.cli.columns import column_table
from graft.cli.options import (
    EPILOG,
    AsJson,
    Columns,
    Group,
    Label,
    Limit,
    Modality,
    Strict,
    Target,
    Task,
    Text,
    Url,
    Weight,
    Yes,
    kinds_of,
)
from graft.cli.screen import Screen, counted, facts, problem_table, table
from graft.cli.session import confirm, session
from graft.cli.uploading import told_of

app = typer.Typer(help="Uploaded labelled items.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The dataset's id, ds_...")]
File = Annotated[
    Path,
    typer.Argument(
        exists=True, help="A CSV, TSV, JSONL, Parquet or .npz file; images or sounds as a folder, .zip or .tar."
    ),
]


@app.command("list", epilog=EPILOG)
def list_datasets(limit: Limit = None, url: Url = None, as_json: AsJson = False) -> None:
    """List datasets."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.datasets.list(limit=limit)
    rows = ((d.id, d.name, d.modality, d.items, len(d.classes) or None, d.created_at) for d in found)
    headers = ("dataset", "name", "modality", "items", "classes", "created")
    screen.result([dict(d.raw) for d in found], table(headers, rows))


@app.command(epilog=EPILOG)
def show(dataset: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show one dataset: its classes or target, its columns, and the rows that were left out."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.datasets.get(dataset)
    screen.result(found.raw, *_view(found))


@app.command(epilog=EPILOG)
def upload(
    file: File,
    *,
    name: Annotated[str | None, typer.Option("--name", help="What to call it (default: the file's name).")] = None,
    modality: Modality = None,
    text: Text = None,
    label: Label = None,
    target: Target = None,
    task: Task = None,
    group: Group = None,
    weight: Weight = None,
    columns: Columns = None,
    strict: Strict = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Upload labelled texts, images, sounds, rows or vectors. `graft fit FILE` does this and fits in one go."""
    screen = Screen(as_json)
    kinds = kinds_of(columns)
    with session(url, screen) as client, screen.progress() as progress:
        bar = progress.add_task("uploading", total=None)
        made = client.datasets.upload(
            file,
            name=name,
            modality=modality,
            text=text,
            label=label,
            target=target,
            task=task,
            group=group,
            weight=weight,
            columns=kinds,
            strict=strict,
            on_upload=told_of(progress, bar, file),
        )
    screen.result(made.raw, *_view(made))


@app.command(epilog=EPILOG)
def delete(dataset: Id, yes: Yes = False, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a dataset."""
    screen = Screen(as_json)
    confirm(f"Delete the dataset {dataset}?", yes=yes)
    with session(url, screen) as client:
        client.datasets.delete(dataset)
    screen.result({"id": dataset, "deleted": True}, f"Deleted {dataset}.")


def _formats(dataset: Dataset) -> str | None:
    """Formats of images and sounds with their counts: ``180 jpeg, 20 png``."""
    formats = (dataset.media or {}).get("formats")
    return ", ".join(f"{count:,} {name}" for name, count in formats.items()) if formats else None


def _view(dataset: Dataset) -> list[Table | str]:
    about = {
        "dataset": dataset.id,
        "name": dataset.name,
        "modality": dataset.modality,
        "task": dataset.task,
        "items": dataset.items,
        "width": dataset.width,
        "columns": ", ".join(f"{use} = {column}" for use, column in dataset.columns.items()) or None,
        "formats": _formats(dataset),
        "bytes": dataset.size_bytes,
        "sha256": dataset.sha256,
        "created": dataset.created_at,
    }
    view: list[Table | str] = [facts({name: value for name, value in about.items() if value is not None}), ""]
    if dataset.target is not None:
        view.append(facts({"lowest": dataset.target.low, "highest": dataset.target.high, "mean": dataset.target.mean}))
    else:
        view.append(table(("class", "items"), dataset.classes.items()))
    if dataset.schema:
        view += ["", column_table(dataset.schema)]
    if dataset.problems:
        were = "was" if len(dataset.problems) == 1 else "were"
        noun = "file" if dataset.modality in {"image", "audio"} else "row"
        view += [f"\n{counted(len(dataset.problems), noun)} {were} left out:", problem_table(dataset.problems)]
    return view
