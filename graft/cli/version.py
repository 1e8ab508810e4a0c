"""``graft version``: a version without a fit, for other classes."""

from typing import Annotated

import typer

from graft.cli.adapters import Name, summary
from graft.cli.fit import try_it
from graft.cli.labels import Labels, LabelsFile, SignaturesOrFile, Templates, labels_of, signatures_id
from graft.cli.options import AsJson, Url
from graft.cli.screen import Screen, facts
from graft.cli.session import session


def version(
    name: Name,
    *,
    from_: Annotated[
        str | None, typer.Option("--from", help="The version that is given other classes, 3 or NAME:3.")
    ] = None,
    signatures: SignaturesOrFile = None,
    labels: Labels = None,
    labels_file: LabelsFile = None,
    templates: Templates = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="Without --from: what embeds the inputs; of texts, labels too.")
    ] = None,
    promote: Annotated[str | None, typer.Option("--promote", help="auto, always or never (default: auto).")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a version without a fit: other classes for one that was fitted with signatures, or labels alone.

    Examples: graft version beasts --from 3 --signatures more.csv; graft version intents --labels refund,delivery
    --backbone minilm-l6
    """
    screen = Screen(as_json)
    words = labels_of(labels, labels_file)
    if (words is None) == (signatures is None):
        raise typer.BadParameter("Give signatures (with --from), or labels (with --backbone).")
    with session(url, screen) as client:
        told = signatures_id(client, signatures)
        made = client.version(
            name,
            from_=from_,
            signatures=told,
            labels=words,
            templates=templates,
            backbone=backbone,
            promote=promote,
        )
    screen.result(made.raw, facts(summary(made) | {"try it": try_it(made)}))
