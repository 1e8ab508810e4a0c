"""Options that commands share, and what their exit codes mean."""

from typing import Annotated

import typer

EPILOG = (
    "Exit codes: 0 done; 1 the service said no; 2 wrong usage; 3 no service reached, or no answer in time; "
    "4 the job failed or was cancelled; 130 interrupted."
)

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
JOB_FAILED = 4
INTERRUPTED = 130

Url = Annotated[
    str | None, typer.Option("--url", help="Address of the service (default: $GRAFT_URL or http://127.0.0.1:3000).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Show at most this many (default: all).")]
Ref = Annotated[str, typer.Argument(help="name:3, name@alias, or name for the live version.")]
Text = Annotated[str | None, typer.Option("--text", help="Column of the texts; guessed where left out.")]
Label = Annotated[str | None, typer.Option("--label", help="Column of the labels; guessed where left out.")]
Modality = Annotated[
    str | None, typer.Option("--modality", help="text, image, audio, table or vector: what the file holds; guessed.")
]
Target = Annotated[
    str | None,
    typer.Option("--target", help="Column to predict: of a table, or numbers of texts, images and sounds."),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="classification, multilabel (any number of labels: lists, or a|b) or regression (default: by the target's "
        "values).",
    ),
]
Group = Annotated[
    str | None,
    typer.Option("--group", help="Column of what rows belong to (a patient, a session); never split across folds."),
]
Weight = Annotated[str | None, typer.Option("--weight", help="Column of how much each row counts.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="What a column is where the guess is wrong, NAME=KIND; may be repeated. Kinds: number, boolean, date, "
        "category, ignore.",
    ),
]
Long = Annotated[
    str | None,
    typer.Option("--long", help="Long texts and sounds: truncate (leave their end out) or chunk (average all parts)."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the file for any bad row.")]


def kinds_of(columns: list[str] | None) -> dict[str, str] | None:
    """Kinds of columns by name, from NAME=KIND; None where there are none. Raises typer.BadParameter."""
    pairs = [column.rpartition("=") for column in columns or ()]
    for name, equals, kind in pairs:
        if not (name and equals and kind):
            raise typer.BadParameter(f"{kind!r} is not NAME=KIND, such as age=number.", param_hint="--column")
    return {name: kind for name, _, kind in pairs} or None
