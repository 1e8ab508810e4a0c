"""Labels on a command line, and in files of their descriptions.

--labels refund,delivery
--labels-file labels.json   ["refund", "delivery"], or {"refund": "the customer wants money back", ...}
--labels-file labels.csv    columns label and description; a label in several rows has several
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from graft._client import Client
from graft._signatures import Descriptions

Labels = Annotated[str | None, typer.Option("--labels", help="Names of classes with commas between.")]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels-file",
        exists=True,
        dir_okay=False,
        help="A .json list of names or object of descriptions, or a .csv with columns label and description.",
    ),
]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help="A sentence with {} where the label goes; may be repeated, and is averaged."),
]
SignaturesOrFile = Annotated[
    str | None, typer.Option("--signatures", help="What tells the classes: sig_..., or a file that is uploaded.")
]


def labels_of(labels: str | None, file: Path | None) -> Descriptions | None:
    """Names, or descriptions by name; None where neither option is given.

    Raises:
        typer.BadParameter: Both are, or the file is of another form.
    """
    if labels is not None and file is not None:
        raise typer.BadParameter("--labels and --labels-file are two ways to say the same; use one.")
    if labels is not None:
        return [name.strip() for name in labels.split(",")]
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong(file, "is not UTF-8") from None
    return _of_json(file, text) if file.suffix.lower() == ".json" else _of_csv(file, text)


def signatures_id(client: Client, given: str | None) -> str | None:
    """The id of signatures; a file is uploaded.

    Raises:
        typer.BadParameter: It is neither an id nor a file.
        ApiError: As `Client.signatures.create`.
    """
    if given is None or given.startswith("sig_"):
        return given
    if not Path(given).is_file():
        raise typer.BadParameter(f"There is no file {given!r}, and ids are sig_...", param_hint="--signatures")
    return client.signatures.create(given).id


def _of_json(file: Path, text: str) -> Descriptions:
    try:
        value: Any = json.loads(text)
    except ValueError:
        raise _wrong(file, "is not JSON") from None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    if isinstance(value, Mapping) and all(_is_text(one) for one in value.values()):
        return dict(value)
    raise _wrong(file, 'is neither a list of names nor an object such as {"refund": "money back"}')


def _is_text(value: object) -> bool:
    texts = value if isinstance(value, Sequence) else [value]
    return isinstance(value, str) or all(isinstance(text, str) for text in texts)


def _of_csv(file: Path, text: str) -> Descriptions:
    rows = csv.DictReader(text.splitlines(keepends=True))
    if "label" not in (rows.fieldnames or ()):
        raise _wrong(file, f"has the columns {', '.join(rows.fieldnames or ()) or 'none'}; it needs one called label")
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["label"], []).extend([row["description"]] if row.get("description") else [])
    return {name: texts or [name] for name, texts in found.items()} if any(found.values()) else [*found]


def _wrong(file: Path, what: str) -> typer.BadParameter:
    return typer.BadParameter(f"{file.name} {what}.", param_hint="--labels-file")
