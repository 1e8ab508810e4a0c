"""``graft keys``: who may call the service."""

from typing import Annotated

import typer

from graft._resources import key_id
from graft.cli.options import EPILOG, AsJson, Limit, Url, Yes
from graft.cli.screen import Screen, facts, table
from graft.cli.session import confirm, session

app = typer.Typer(
    help="Keys of the service. The first one locks it: make it with --scopes admin, and set GRAFT_KEY to it.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(help="The key's id, which stands between the two '_' of its text.")]


@app.command(epilog=EPILOG)
def create(
    *,
    scopes: Annotated[
        str,
        typer.Option(
            "--scopes", help="Some of predict, fit (with read), read, admin (everything), with commas between."
        ),
    ],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose calls it makes (default: yours).")] = None,
    name: Annotated[str, typer.Option("--name", help="Who or what has it.")] = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and show it once."""
    screen = Screen(as_json)
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    with session(url, screen) as client:
        made = client.keys.create(wanted, tenant=tenant, name=name)
    about = {"id": made.id, "tenant": made.tenant, "name": made.name, "scopes": ", ".join(made.scopes)}
    screen.result(
        made.raw,
        facts(about),
        f"\n{made.key}\n\n"
        "This is shown once and stored nowhere: keep it now. Use it with GRAFT_KEY=... or Authorization: Bearer ...",
    )


@app.command("list", epilog=EPILOG)
def list_keys(
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only keys of this tenant.")] = None,
    limit: Limit = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first; their texts are not kept."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.keys.list(tenant=tenant, limit=limit)
    rows = ((k.id, k.tenant, k.name, ", ".join(k.scopes), k.created_at, k.revoked_at) for k in found)
    screen.result([dict(k.raw) for k in found], table(("key", "tenant", "name", "scopes", "created", "revoked"), rows))


@app.command(epilog=EPILOG)
def revoke(key: Id, yes: Yes = False, url: Url = None, as_json: AsJson = False) -> None:
    """Revoke a key: who has it can call no more."""
    screen = Screen(as_json)
    confirm(f"Revoke the key {key_id(key)}?", yes=yes)
    with session(url, screen) as client:
        client.keys.revoke(key)
    screen.result({"id": key_id(key), "revoked": True}, f"Revoked {key_id(key)}.")
