"""``graft backbones``: what is hosted."""

import typer

from graft.cli.options import EPILOG, AsJson, Url
from graft.cli.screen import Screen, table
from graft.cli.session import session

app = typer.Typer(help="Hosted backbones.", no_args_is_help=True)


@app.command("list", epilog=EPILOG)
def list_backbones(url: Url = None, as_json: AsJson = False) -> None:
    """List hosted backbones."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        hosted = client.backbones.list()
    rows = ((b.id, b.modality, b.state, b.max_tokens, b.licence, b.source) for b in hosted)
    screen.result(
        [dict(b.raw) for b in hosted],
        table(("backbone", "modality", "state", "max tokens", "licence", "source"), rows),
    )
