"""A published version as a part of an ensemble."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.base import F32


@dataclass(frozen=True, eq=False)
class Member:
    """A version that is averaged.

    Attributes:
        name: Its reference, such as ``intents:3``.
        onnx: Its published file.
        classes: Its classes, in the order of its answers.
        method: It, with all parameters, as JSON.
        first, behind: Its columns of `Task.z`: embeddings of several backbones stand side by side.
        saw: Whether it was fitted to the very dataset of the task: its scores of these rows tell nothing, and it is
            fitted again on folds.
        names: (k, behind - first) the task's class names as its backbone embeds them; None where it embeds no texts.
        labels: What its labels are called in the task, where they are called otherwise; ``None`` for one to leave out.
    """

    name: str
    onnx: bytes
    classes: tuple[str, ...]
    method: Mapping[str, Any]
    first: int
    behind: int
    saw: bool = False
    names: F32 | None = None
    labels: Mapping[str, str | None] = field(default_factory=dict)
