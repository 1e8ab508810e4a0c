"""``graft backbones``: what is hosted, hosting more, and which one suits some data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from graft._backbones import Backbone, Ranking
from graft._client import Client
from graft._types import Job
from graft.cli.jobs import interrupted, stage
from graft.cli.options import EPILOG, AsJson, Label, Modality, Text, Url, Yes
from graft.cli.screen import Screen, facts, table
from graft.cli.session import confirm, session
from graft.cli.uploading import told_of

app = typer.Typer(help="Backbones: what turns items into embeddings.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The backbone's name.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Start the job and return.")]

SOURCES = "Source (one, or none for a name of the catalogue)"
CHOICES = "Choices (what is left out follows from the weights' own files)"


def _source(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=SOURCES)


def _choice(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=CHOICES)


@app.command("list", epilog=EPILOG)
def list_backbones(url: Url = None, as_json: AsJson = False) -> None:
    """List the backbones that you can use."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        hosted = client.backbones.list()
    rows = ((b.id, b.modality, b.state, _width(b), b.max_tokens, b.provider, b.licence, b.source) for b in hosted)
    headers = ("backbone", "modality", "state", "width", "max tokens", "runs on", "licence", "source")
    screen.result([dict(b.raw) for b in hosted], table(headers, rows))


@app.command(epilog=EPILOG)
def show(backbone: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Show one backbone: where it comes from, its taps, and what runs it."""
    screen = Screen(as_json)
    with session(url, screen) as client:
        found = client.backbones.get(backbone)
    screen.result(found.raw, _view(found))


@app.command(epilog=EPILOG)
def add(
    backbone: Annotated[str, typer.Argument(help="What to call it; by itself, a name of the catalogue.")],
    *,
    hub: Annotated[str | None, _source("--hub", "A repository of the Hugging Face hub, OWNER/NAME.")] = None,
    revision: Annotated[str | None, _source("--revision", "Its commit, tag or branch (default: main).")] = None,
    path: Annotated[str | None, _source("--path", "A folder of weights on the service's machine.")] = None,
    timm: Annotated[str | None, _source("--timm", "timm's architecture that the weights are for.")] = None,
    option: Annotated[list[str] | None, _source("--option", "Argument of it, KEY=VALUE; may be repeated.")] = None,
    words: Annotated[str | None, _source("--words", "A file of word vectors on the service's machine.")] = None,
    format_: Annotated[str | None, _source("--format", "word2vec-binary, word2vec-text or glove.")] = None,
    onnx: Annotated[Path | None, _source("--onnx", "An ONNX file here, to upload.")] = None,
    input_: Annotated[str | None, _source("--input", "Name of the ONNX graph's input.")] = None,
    output: Annotated[str | None, _source("--output", "Name of the ONNX graph's output.")] = None,
    tokenizer: Annotated[Path | None, _source("--tokenizer", "tokenizer.json of an ONNX file for texts.")] = None,
    adapter: Annotated[str | None, _source("--adapter", "An adapter with a hidden layer, name:3.")] = None,
    catalog: Annotated[str | None, _source("--catalog", "A name of the catalogue, to call it otherwise.")] = None,
    modality: Annotated[str | None, _choice("--modality", "text, image or audio.")] = None,
    pooling: Annotated[str | None, _choice("--pooling", "mean, cls, last, pooler or projection.")] = None,
    normalise: Annotated[bool | None, typer.Option(help="Unit length.", rich_help_panel=CHOICES)] = None,
    tower: Annotated[str | None, _choice("--tower", "text or vision, of two-tower ones (CLIP, SigLIP).")] = None,
    prefix: Annotated[str | None, _choice("--prefix", "Put before every text, such as 'query: '.")] = None,
    max_tokens: Annotated[int | None, _choice("--max-tokens", "Longest text taken at once.")] = None,
    max_seconds: Annotated[float | None, _choice("--max-seconds", "Longest sound taken at once.")] = None,
    size: Annotated[int | None, _choice("--size", "Pixels of an image's side.")] = None,
    mean: Annotated[str | None, _choice("--mean", "Of pixels, 0 to 255: one number, or three with commas.")] = None,
    std: Annotated[str | None, _choice("--std", "Of pixels, 0 to 255: one number, or three with commas.")] = None,
    resample: Annotated[str | None, _choice("--resample", "Filter: nearest, bilinear, bicubic, lanczos, ...")] = None,
    rate: Annotated[int | None, _choice("--rate", "Samples of a sound per second.")] = None,
    tap: Annotated[list[str] | None, _choice("--tap", "block3, ...: a further tap; may be repeated.")] = None,
    licence: Annotated[str | None, _choice("--licence", "SPDX id of the weights.")] = None,
    no_wait: NoWait = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Host a backbone: it is fetched, turned into ONNX, verified, and kept. Ctrl-C leaves the job running.

    Examples: graft backbones add resnet-50; graft backbones add bge --hub BAAI/bge-small-en-v1.5 --pooling cls;
    graft backbones add mine --onnx model.onnx --input pixels --output features --modality image --size 128
    """
    screen = Screen(as_json)
    source = source_of({"hub": hub, "path": path, "words": words, "adapter": adapter, "catalog": catalog}, onnx)
    beside: dict[str, Any] = {"revision": revision, "timm": timm, "format": format_}
    beside["options"] = {key: _value(value) for key, value in map(_pair, option or ())} or None
    source |= {name: value for name, value in beside.items() if value is not None}
    steps: dict[str, Any] = {"size": size, "mean": _numbers(mean), "std": _numbers(std), "resample": resample}
    steps = {name: value for name, value in (steps | {"rate": rate}).items() if value is not None}
    chosen: dict[str, Any] = {"modality": modality, "pooling": pooling, "normalise": normalise, "tower": tower}
    chosen |= {"prefix": prefix, "max_tokens": max_tokens, "max_seconds": max_seconds, "preprocess": steps or None}
    chosen |= {"taps": tap, "licence": licence, "input": input_, "output": output}
    options = {name: value for name, value in chosen.items() if value is not None}
    with session(url, screen) as client:
        made = client.backbones.add(backbone, source or None, onnx=onnx, tokenizer=tokenizer, wait=False, **options)
        if isinstance(made, Job) and no_wait:
            screen.result(made.raw, f"Started {made.id}. Follow it: graft jobs watch {made.id}")
            return
        found = made if isinstance(made, Backbone) else _hosted(screen, client, made, backbone)
    screen.result(found.raw, _view(found))


@app.command(epilog=EPILOG)
def remove(backbone: Name, yes: Yes = False, url: Url = None, as_json: AsJson = False) -> None:
    """Remove one of your own that no adapter stands on."""
    screen = Screen(as_json)
    confirm(f"Remove the backbone {backbone}?", yes=yes)
    with session(url, screen) as client:
        client.backbones.remove(backbone)
    screen.result({"id": backbone, "deleted": True}, f"Removed {backbone}.")


@app.command(epilog=EPILOG)
def rank(
    data: Annotated[str, typer.Argument(help="A dataset, ds_..., or a file or folder to upload.")],
    *,
    backbones: Annotated[
        str | None, typer.Option("--backbones", help="Names with commas between them (default: all that fit).")
    ] = None,
    modality: Modality = None,
    text: Text = None,
    label: Label = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Find out which backbone suits some texts, images or sounds: a quick probe of each, on the same folds."""
    screen = Screen(as_json)
    names = [name.strip() for name in backbones.split(",") if name.strip()] if backbones else None
    with session(url, screen) as client, screen.progress() as progress:
        bar = progress.add_task("ranking", total=None)

        def moved(job: Job) -> None:
            progress.update(bar, total=1.0, completed=job.progress, description=stage(job))

        dataset = data
        if not data.startswith("ds_") or Path(data).exists():
            source = Path(data)
            if not source.exists():
                raise typer.BadParameter(f"There is no file, folder or dataset {data!r}.", param_hint="DATA")
            reading: dict[str, Any] = {"modality": modality, "text": text, "label": label}
            dataset = client.datasets.upload(source, on_upload=told_of(progress, bar, source), **reading).id
        found = client.backbones.rank(dataset, backbones=names, on_progress=moved)
    screen.result(found.raw, ranking_table(found), *([f"\n{found.why}"] if found.why else []))


def source_of(given: Mapping[str, str | None], onnx: Path | None) -> dict[str, Any]:
    """The one source that was given; empty for the catalogue's name, or an ONNX file. Raises typer.BadParameter."""
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) + (onnx is not None) > 1:
        both = " and ".join(f"--{name}" for name in [*named, *(["onnx"] if onnx else [])])
        raise typer.BadParameter(f"{both} are several sources; give one.")
    if onnx is not None and not onnx.is_file():
        raise typer.BadParameter(f"There is no file {str(onnx)!r}.", param_hint="--onnx")
    return named


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE, such as pad_type=same.", param_hint="--option")
    return key, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _numbers(text: str | None) -> list[float] | None:
    try:
        return [float(number) for number in text.split(",")] if text else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number, or three with commas between them.") from None


def _hosted(screen: Screen, client: Client, job: Job, backbone: str) -> Backbone:
    """Follow a job to its end, with a bar."""
    try:
        with screen.progress() as progress:
            bar = progress.add_task("waiting", total=1.0)

            def moved(now: Job) -> None:
                progress.update(bar, completed=now.progress, description=stage(now))

            client.jobs.wait(job.id, on_progress=moved)
    except KeyboardInterrupt:
        interrupted(screen, job.id)
    return client.backbones.get(backbone)


def _width(backbone: Backbone) -> int | None:
    shape = backbone.taps.get("pooled")
    return shape[-1] if shape else None


def _view(backbone: Backbone) -> Table:
    why = f" ({backbone.provider_why})" if backbone.provider_why else ""
    about = {
        "backbone": backbone.id,
        "modality": backbone.modality,
        "state": backbone.state,
        "runs on": f"{backbone.provider}{why}" if backbone.provider else None,
        "taps": ", ".join(f"{name} {_shape(shape)}" for name, shape in backbone.taps.items()),
        "max tokens": backbone.max_tokens,
        "learned": "yes" if backbone.trained else "no, fixed transforms",
        "licence": backbone.licence,
        "source": backbone.source,
        "digest": backbone.digest,
        "job": backbone.job,
        "error": backbone.error.detail if backbone.error else None,
    }
    return facts({name: value for name, value in about.items() if value not in (None, "")})


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join("t" if size < 0 else str(size) for size in shape)


def ranking_table(ranking: Ranking) -> Table:
    """Backbones with their figures, best first."""
    rows = (
        (b.id, b.probe_accuracy, b.probe_log_loss, b.logme, b.knn_accuracy, b.ms_per_item, b.width)
        for b in ranking.backbones
    )
    headers = ("backbone", "accuracy", "log loss", "LogME", "kNN accuracy", "ms an item", "width")
    return table(headers, rows)
