"""``graft datasets``: uploaded labelled texts."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graft._types import Dataset
from graft.cli.options import EPILOG, AsJson, Label, Limit, Strict, Text, Url, Yes
from graft.cli.screen import Screen, counted, facts, problem_table, table
from graft.cli.session import confirm, session

app = typer.Typer(help="Uploaded labelled texts.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The dataset's id, ds_...")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV, TSV, JSONL or Parquet file.")]


@app.command("list", epilog=EPILOG)
def list_datasets(limit: Limit = None, url: Url = None, as_json: AsJson = False) -> None:
    """List datasets."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.datasets.list(limit=limit)
    rows = ((d.id, d.name, d.items, len(d.classes), d.created_at) for d in found)
    screen.result([dict(d.raw) for d in found], table(("dataset", "name", "items", "classes", "created"), rows))


@app.command(epilog=EPILOG)
def show(dataset: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show one dataset: its classes, and the rows that were left out."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.datasets.get(dataset)
    screen.result(found.raw, *_view(found))


@app.command(epilog=EPILOG)
def upload(
    file: File,
    *,
    name: Annotated[str | None, typer.Option("--name", help="What to call it (default: the file's name).")] = None,
    text: Text = None,
    label: Label = None,
    strict: Strict = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file of labelled texts. `graft fit FILE` does this and fits in one go."""
    screen = Screen(as_json)
    with session(url, screen) as client, screen.progress() as progress:
        progress.add_task(f"uploading {file.name}", total=None)
        made = client.datasets.upload(file, name=name, text=text, label=label, strict=strict)
    screen.result(made.raw, *_view(made))


@app.command(epilog=EPILOG)
def delete(dataset: Id, yes: Yes = False, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a dataset."""
    screen = Screen(as_json)
    confirm(f"Delete the dataset {dataset}?", yes=yes)
    with session(url, screen) as client:
        client.datasets.delete(dataset)
    screen.result({"id": dataset, "deleted": True}, f"Deleted {dataset}.")


def _view(dataset: Dataset) -> list[Table | str]:
    about = {
        "dataset": dataset.id,
        "name": dataset.name,
        "items": dataset.items,
        "columns": ", ".join(f"{use} = {column}" for use, column in dataset.columns.items()),
        "bytes": dataset.size_bytes,
        "sha256": dataset.sha256,
        "created": dataset.created_at,
    }
    view: list[Table | str] = [facts(about), "", table(("class", "items"), dataset.classes.items())]
    if dataset.problems:
        were = "was" if len(dataset.problems) == 1 else "were"
        view += [f"\n{counted(len(dataset.problems), 'row')} {were} left out:", problem_table(dataset.problems)]
    return view
