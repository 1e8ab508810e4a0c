"""``graft adapters``: what was fitted and is served."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graft._resources import split
from graft._types import Adapter, Version
from graft.cli.columns import column_table
from graft.cli.options import EPILOG, AsJson, Limit, Ref, Url, Yes
from graft.cli.screen import Screen, counted, facts, table
from graft.cli.session import confirm, session

app = typer.Typer(help="Adapters: what was fitted and is served.", no_args_is_help=True)

ITEMS = {"text": "texts", "image": "images", "audio": "sounds"}
"""What the items of a modality are called."""

Name = Annotated[str, typer.Argument(help="The adapter's name.")]


@app.command("list", epilog=EPILOG)
def list_adapters(limit: Limit = None, url: Url = None, as_json: AsJson = False) -> None:
    """List adapters."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.adapters.list(limit=limit)
    rows = ((a.name, a.count, a.live, a.latest, a.backbone, a.updated_at) for a in found)
    headers = ("adapter", "versions", "live", "latest", "backbone", "updated")
    screen.result([dict(a.raw) for a in found], table(headers, rows))


@app.command(epilog=EPILOG)
def show(ref: Ref, url: Url = None, as_json: AsJson = False) -> None:
    """Show an adapter and its versions, or one version (name:3, name@alias)."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        if split(ref)[1] is None:
            _show_adapter(screen, client.adapters.get(ref))
        else:
            version = client.adapters.version(ref)
            screen.result(version.raw, facts(summary(version)), *_parts(version))


@app.command(epilog=EPILOG)
def report(ref: Ref, url: Url = None, as_json: AsJson = False) -> None:
    """Write the evaluation report of a version to stdout, as JSON (on one line with --json)."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.adapters.report(ref)
    typer.echo(json.dumps(found, ensure_ascii=False, indent=None if as_json else 2))


@app.command(epilog=EPILOG)
def alias(
    name: Name,
    alias: Annotated[str, typer.Argument(help="The alias; `live` is what a bare name means.")],
    version: Annotated[int, typer.Argument(min=1, help="The version's number.")],
    *,
    if_match: Annotated[str | None, typer.Option("--if-match", help="ETag the alias must still have.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version, in one step."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        made = client.adapters.set_alias(name, alias, version, if_match=if_match)
    screen.result(made.raw, f"{name}@{alias} is version {made.version} now.")


@app.command(epilog=EPILOG)
def onnx(
    ref: Ref,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write (default: NAME-N.onnx).")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write the ONNX file of a version's head to disk."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        version = client.adapters.version(ref)
        path = out or Path(f"{version.adapter}-{version.version}.onnx")
        size_bytes = path.write_bytes(client.adapters.onnx(version.ref))
    result = {"adapter": version.ref, "path": str(path), "size_bytes": size_bytes}
    screen.result(result, f"Wrote {path} ({size_bytes:,} bytes).")


@app.command(epilog=EPILOG)
def delete(
    ref: Annotated[str, typer.Argument(help="The version to delete, name:3.")],
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Delete one version."""
    screen = Screen(as_json)
    confirm(f"Delete {ref}? It cannot be undone.", yes=yes)
    with session(url, screen) as client:
        client.adapters.delete_version(ref)
    screen.result({"adapter": ref, "deleted": True}, f"Deleted {ref}.")


def summary(version: Version) -> dict[str, object]:
    """What to know of a version, for a person."""
    figures = {"regression": _regression, "multilabel": _several}.get(version.task, _classification)
    learned = figures(version)
    return {
        "adapter": version.ref,
        "takes": _takes(version),
        **learned,
        **({"backbone": version.backbone.get("id")} if version.backbone else {}),
        "method": method_words(version),
        **({"classes": len(version.classes)} if version.classes else {}),
        **({"signatures": version.signatures} if version.signatures else {}),
        **({"made from": f"{version.made_from}, without a fit"} if version.made_from else {}),
        **({"parents": ", ".join(version.parents)} if version.parents else {}),
        "live": "yes" if version.live else " ".join(("no.", version.promotion)).strip(),
    }


def _takes(version: Version) -> str:
    if version.modality == "table":
        return f"rows of {counted(len(version.columns), 'column')}"
    return (
        f"vectors of {version.width} numbers"
        if version.modality == "vector"
        else ITEMS.get(version.modality, version.modality)
    )


def _classification(version: Version) -> dict[str, object]:
    metrics = version.metrics
    if metrics.accuracy is None:
        return {"accuracy": "not measured"}
    accuracy = f"{metrics.accuracy:.1%}"
    if metrics.accuracy_interval is not None:
        low, high = metrics.accuracy_interval
        accuracy += f"  (95% interval {low:.1%} to {high:.1%})"
    figures: dict[str, object] = {
        "accuracy": accuracy,
        "log loss": metrics.log_loss,
        "ECE": metrics.ece,
        "macro-F1": metrics.macro_f1,
        "ROC AUC": metrics.roc_auc,
        "average precision": metrics.average_precision,
    }
    return {name: value for name, value in figures.items() if value is not None}


def _regression(version: Version) -> dict[str, object]:
    return {"R²": version.metrics.r2, "RMSE": version.metrics.rmse, "MAE": version.metrics.mae}


def _several(version: Version) -> dict[str, object]:
    metrics = version.metrics
    return {
        "micro-F1": metrics.micro_f1,
        "macro-F1": metrics.macro_f1,
        "all labels right": None if metrics.exact_match is None else f"{metrics.exact_match:.1%}",
        "mean average precision": metrics.macro_average_precision,
        "log loss": metrics.log_loss,
        "ECE": metrics.ece,
    }


def _parts(version: Version) -> list[Table | str]:
    """What a version takes and gives, where there is more to say than a line."""
    parts: list[Table | str] = []
    if version.columns:
        parts += ["", column_table(version.columns)]
    if version.thresholds:
        pairs = zip(version.classes, version.thresholds, strict=True)
        parts += ["", table(("class", "from probability"), ((name, f"{least:.3f}") for name, least in pairs))]
    elif version.classes:
        parts += ["", table(("class",), ((name,) for name in version.classes))]
    return parts


def method_words(version: Version) -> str:
    """The method and its parameters: ``logistic (l2 = 1.0, prior = names)``."""
    chosen = dict(version.method)
    name = str(chosen.pop("method", "-"))
    parameters = ", ".join(f"{key} = {value}" for key, value in chosen.items() if value is not None)
    return f"{name} ({parameters})" if parameters else name


def _show_adapter(screen: Screen, adapter: Adapter) -> None:
    about = {"adapter": adapter.name, "live": adapter.live, "latest": adapter.latest}
    live = next((v for v in adapter.versions if v.version == adapter.live), None)
    view: list[Table | str] = [facts(about), "", _versions(adapter.versions)]
    if live is not None and live.columns:
        view += ["\nRows of the live version:", column_table(live.columns)]
    screen.result(adapter.raw, *view)


def _versions(versions: Sequence[Version]) -> Table:
    """Versions, each with its figures; a figure that none of them has is left out."""
    figures = {
        "accuracy": [v.metrics.accuracy for v in versions],
        "log loss": [v.metrics.log_loss for v in versions],
        "micro-F1": [v.metrics.micro_f1 for v in versions],
        "R²": [v.metrics.r2 for v in versions],
        "RMSE": [v.metrics.rmse for v in versions],
    }
    known = {name: values for name, values in figures.items() if any(value is not None for value in values)}
    rows = (
        (v.ref, *own, method_words(v), (v.backbone or {}).get("id"), ", ".join(v.aliases), v.created_at)
        for v, *own in zip(versions, *known.values(), strict=True)
    )
    return table(("version", *known, "method", "backbone", "aliases", "created"), rows)
