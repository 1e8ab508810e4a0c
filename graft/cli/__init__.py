"""The `graft` command: one file a command or group of commands."""

from typing import Annotated

import typer

from graft._version import __version__
from graft.cli import (
    adapters,
    backbones,
    datasets,
    doctor,
    fit,
    jobs,
    keys,
    predict,
    refit,
    serve,
    signatures,
    version,
    zero_shot,
)
from graft.cli.options import EPILOG

__all__ = ["app"]

app = typer.Typer(
    name="graft",
    help="Adapt a frozen backbone to a few labelled texts, images, sounds or rows in seconds, and serve it.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Adapt a frozen backbone to a few labelled texts, images, sounds or rows in seconds, and serve it."""


app.command("serve", epilog=EPILOG)(serve.serve)
app.command("worker", epilog=EPILOG)(serve.worker)
app.command("fit", epilog=EPILOG)(fit.fit)
app.command("refit", epilog=EPILOG)(refit.refit)
app.command("predict", epilog=EPILOG)(predict.predict)
app.command("zero-shot", epilog=EPILOG)(zero_shot.zero_shot)
app.command("version", epilog=EPILOG)(version.version)
app.command("doctor", epilog=EPILOG)(doctor.doctor)
app.add_typer(datasets.app, name="datasets")
app.add_typer(signatures.app, name="signatures")
app.add_typer(adapters.app, name="adapters")
app.add_typer(jobs.app, name="jobs")
app.add_typer(backbones.app, name="backbones")
app.add_typer(keys.app, name="keys")
