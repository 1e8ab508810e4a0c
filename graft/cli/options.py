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
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the file for any bad row.")]
