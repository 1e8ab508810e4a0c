"""Writes the pages that follow from the code: ``python docs/generate.py`` (or ``make docs``); a test holds them true."""

import inspect
from pathlib import Path

from adapters.base import Method
from adapters.methods import METHODS

HERE = Path(__file__).parent


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
    table = f"\n| parameter | default | |\n|---|---|---|\n{rows}" if rows else ""
    return f"\n## `{name}`\n\n```\n{inspect.getdoc(method)}\n```\n{table}"


if __name__ == "__main__":
    (HERE / "methods.md").write_text(methods(), encoding="utf-8")
