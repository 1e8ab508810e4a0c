"""``graft zero-shot``: texts or images among labels, with nothing fitted."""

import sys
from typing import Annotated

import typer

from graft._inputs import Input
from graft.cli.labels import Labels, LabelsFile, SignaturesOrFile, Templates, labels_of, signatures_id
from graft.cli.options import AsJson, Url
from graft.cli.predict_answers import show_answers
from graft.cli.predict_media import media_in
from graft.cli.rows import RowsUnusable, lines
from graft.cli.screen import Screen
from graft.cli.session import session


def zero_shot(
    inputs: Annotated[
        list[str], typer.Argument(help="Texts; or images (files, or folders of them); or - for a text a line of stdin.")
    ],
    *,
    backbone: Annotated[
        str, typer.Option("--backbone", help="Hosted backbone of texts, or image tower of CLIP or SigLIP.")
    ],
    labels: Labels = None,
    labels_file: LabelsFile = None,
    signatures: SignaturesOrFile = None,
    templates: Templates = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Labels to show.")] = 3,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Predict texts or images among labels, with nothing fitted: by names, or better by descriptions.

    Example: graft zero-shot --backbone minilm-l6 --labels refund,delivery "where is my parcel"
    """
    screen = Screen(as_json)
    words = labels_of(labels, labels_file)
    if (words is None) == (signatures is None):
        raise typer.BadParameter("Give labels (--labels or --labels-file), or signatures.")
    with session(url, screen) as client:
        given = _inputs(inputs)
        classes = words if words is not None else signatures_id(client, signatures) or ""
        answers = client.zero_shot(backbone, given, classes, templates=templates, top_k=top_k)
        show_answers(screen, answers, [str(one) for one in given], by=backbone)


def _inputs(words: list[str]) -> list[Input]:
    """Texts, or images and sounds. Raises RowsUnusable where stdin holds no line."""
    if words == ["-"]:
        found: list[Input] = [line for line in lines(sys.stdin.buffer) if line.strip()]
        if not found:
            raise RowsUnusable("The input is empty: there is no line in it. Send one text a line.")
        return found
    media = media_in(words)
    return list(words if media is None else media)
