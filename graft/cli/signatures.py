"""``graft signatures``: what is known of classes that nobody has an example of."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graft._signatures import Signatures
from graft.cli.labels import Labels, LabelsFile, Templates, labels_of
from graft.cli.options import EPILOG, AsJson, Limit, Url, Yes
from graft.cli.screen import Screen, counted, facts, table
from graft.cli.session import confirm, session

app = typer.Typer(help="Signatures: classes told by their attributes, names or descriptions.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The signatures' id, sig_...")]
MOST_NAMES = 12
"""Names of classes, or of attributes, that are shown."""


@app.command(epilog=EPILOG)
def create(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A table of classes x attributes (.csv .tsv .jsonl .json)."),
    ] = None,
    *,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", help="Column of which each value is an attribute, such as legs; may be repeated."),
    ] = None,
    labels: Labels = None,
    labels_file: LabelsFile = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="Text backbone that embeds the labels, in place of a table.")
    ] = None,
    templates: Templates = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call them (default: the file's name).")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make signatures from a table (first column class, an attribute a column, empty cells not known), or from words.

    Examples: graft signatures create animals_signatures.csv; graft signatures create --labels-file labels.json
    --backbone minilm-l6
    """
    screen = Screen(as_json)
    words = labels_of(labels, labels_file)
    if (file is None) == (words is None):
        raise typer.BadParameter("Name a FILE, or give labels and the backbone that embeds them.")
    if file is not None and (backbone or templates):
        raise typer.BadParameter("--backbone and --template embed labels; a FILE tells classes by attributes.")
    with session(url, screen) as client:
        made = client.signatures.create(
            file, groups=groups, labels=words, backbone=backbone, templates=templates, name=name
        )
    screen.result(made.raw, *_view(made))


@app.command("list", epilog=EPILOG)
def list_signatures(limit: Limit = None, url: Url = None, as_json: AsJson = False) -> None:
    """List signatures."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.signatures.list(limit=limit)
    rows = ((s.id, s.name, s.class_count, s.attribute_count, s.backbone, s.created_at) for s in found)
    headers = ("signatures", "name", "classes", "attributes", "backbone", "created")
    screen.result([dict(s.raw) for s in found], table(headers, rows))


@app.command(epilog=EPILOG)
def show(signatures: Id, url: Url = None, as_json: AsJson = False) -> None:
    """Show signatures: their classes, their attributes, and what is odd about them."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.signatures.get(signatures)
    screen.result(found.raw, *_view(found))


@app.command(epilog=EPILOG)
def delete(signatures: Id, yes: Yes = False, url: Url = None, as_json: AsJson = False) -> None:
    """Delete signatures; versions that were made with them stay."""
    screen = Screen(as_json)
    confirm(f"Delete the signatures {signatures}?", yes=yes)
    with session(url, screen) as client:
        client.signatures.delete(signatures)
    screen.result({"id": signatures, "deleted": True}, f"Deleted {signatures}.")


def _view(found: Signatures) -> list[Table | str]:
    about = {
        "signatures": found.id,
        "name": found.name,
        "classes": _some(found.classes, found.class_count),
        "attributes": _some(found.attributes, found.attribute_count),
        **{f"one of {name}": ", ".join(members) for name, members in found.groups.items()},
        "not known": counted(found.missing, "cell") if found.missing else None,
        "backbone": found.backbone,
        "templates": ", ".join(found.templates),
        "created": found.created_at,
    }
    view: list[Table | str] = [facts({name: value for name, value in about.items() if value})]
    if found.notes:
        view.append("\n" + "\n".join(found.notes))
    return view


def _some(names: tuple[str, ...], count: int) -> str:
    """How many there are, and the first ones that have names."""
    shown = ", ".join(names[:MOST_NAMES])
    more = f" and {count - MOST_NAMES:,} more" if count > MOST_NAMES and names else ""
    return f"{count:,}: {shown}{more}" if names else f"{count:,}"
