"""Writes the pages that follow from the code (``make docs``); a test holds them true."""

import inspect
from pathlib import Path

from adapters.base import Method, Need
from adapters.methods import METHODS
from models.catalog import Entry, catalog
from models.sources import Hub
from service.settings import PREFIX, Settings

HERE = Path(__file__).parent

CONFIGURATION = """# Configuration

The service and its worker read their settings from environment variables when they start; there is no configuration
file. A `GRAFT_*` variable that is not in this table stops the start and names the nearest one, and so does a value out
of its range. Lists are words with commas between them: `GRAFT_ALLOWED_HOSTS=127.0.0.1,localhost`. This page follows
from `service/settings.py`; write there, then `make docs`.
"""

CLIENT = """
`GRAFT_URL` (the address that `graft` and `graft.Client` call) and `GRAFT_KEY` are the client's; the service passes over
them.
"""


NEEDS = {
    Need.LABELS: "labelled items",
    Need.NAMES: "names of classes that are embedded as the items are",
    Need.PARENT: "a version to grow from",
    Need.TUNING: "a backbone whose weights are at hand",
    Need.SIGNATURES: "[signatures](zero-shot.md)",
    Need.MEMBERS: "[versions to average](ensembles.md)",
}
"""What a method cannot do without, as a page says it."""


def methods() -> str:
    """docs/methods.md: one section a method, from its docstring and its fields."""
    head = (
        "# Methods\n\nThis page follows from `adapters/methods/`; write there, then `make docs`.\n\n"
        'Choose one by name (`"method": "logistic"`) or with parameters '
        '(`"method": {"method": "logistic", "prior": "names"}`). Parameters that are left out are chosen on folds.\n'
    )
    return head + "".join(_section(name, method) for name, method in sorted(METHODS.items()))


def _section(name: str, method: type[Method]) -> str:
    rows = "".join(
        f"| `{field}` | `{info.default!r}` | {info.description} |\n"
        for field, info in method.model_fields.items()
        if field != "method"
    )
    needs = ", ".join(NEEDS[need] for need in Need if need in method.needs)
    table = f"\n| parameter | default | |\n|---|---|---|\n{rows}" if rows else ""
    return f"\n## `{name}`\n\nNeeds: {needs}.\n\n```\n{inspect.getdoc(method)}\n```\n{table}"


def configuration() -> str:
    """docs/configuration.md: one row a setting."""
    rows = "".join(
        f"| `{PREFIX}{name.upper()}` | `{_default(field.default)}` | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    )
    return f"{CONFIGURATION}\n| variable | default | meaning |\n|---|---|---|\n{rows}{CLIENT}"


def _default(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


CATALOGUE = ("<!-- catalogue -->\n", "<!-- /catalogue -->\n")
"""Where the table of the catalogue begins and ends in docs/backbones.md."""
FOR_TESTS = "fake"


def backbones() -> str:
    """docs/backbones.md: as it is written, with one row for each entry of the catalogue."""
    begin, end = CATALOGUE
    before, _, rest = (HERE / "backbones.md").read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    head = "| name | takes | width | blocks | at most | licence | weights |\n|---|---|---|---|---|---|---|\n"
    rows = "".join(_row(entry) for entry in catalog().values() if entry.id != FOR_TESTS)
    return f"{before}{begin}{head}{rows}{end}{after}"


def _row(entry: Entry) -> str:
    shapes, options = entry.expected, entry.options
    width = "x".join(map(str, shapes.pooled)) if shapes else ""
    blocks = str(shapes.blocks) if shapes and shapes.blocks else ""
    longest = f"{options.max_tokens} tokens" if options.max_tokens else ""
    longest = f"{options.max_seconds:g} s" if options.max_seconds else longest
    source = entry.source
    where = f" `{source.repo}`" + (" (timm)" if source.timm else "") if isinstance(source, Hub) else ""
    about = f"{entry.about};{where}" if where else entry.about
    about += f"; puts `{options.prefix}` before each text" if options.prefix else ""
    taken = {"text": "texts", "image": "images", "audio": "sounds"}[entry.modality]
    return f"| `{entry.id}` | {taken} | {width} | {blocks} | {longest} | {entry.licence} | {about} |\n"


PAGES = {"methods.md": methods, "configuration.md": configuration, "backbones.md": backbones}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (HERE / name).write_text(write(), encoding="utf-8")
