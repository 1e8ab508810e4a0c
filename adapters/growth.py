"""What became of the classes that a version had before it grew."""

from typing import Any

import numpy as np

from adapters.base import F32, I64, Mask, Parent, Task


def parent_scores(parent: Parent, task: Task) -> F32 | None:
    """(n, k') scores of the parent as it is, at its temperature; None where the rows are not what it takes."""
    if parent.weight.shape[1] != task.z.shape[1]:
        return None
    scores: F32 = (task.z @ parent.weight.T + parent.bias) / np.float32(parent.temperature)
    return scores


def growth(task: Task, absent: Mask, rows: I64, scores: F32) -> dict[str, Any]:
    """What the new head and its parent make of the same held-out rows of the classes that the parent knows.

    The parent may have learned from these very rows. The new head has not seen them, unless through a parent that its
    weights are pulled toward: else it is judged the harder of the two.

    Args:
        task: With a parent.
        absent: (k,) classes without a row.
        rows: (m,) rows that were held out.
        scores: (m, k) of the new head, by which each was judged.

    Returns:
        ``parent`` its reference; ``old_classes`` how many it knows; ``new_classes`` and ``absent`` (without a row here,
        so unevaluated) names; ``evaluated`` held-out rows of old classes; ``gained`` rows that the parent gets wrong
        and the new head right, ``lost`` the reverse; ``per_class`` of each old class ``class``, ``evaluated``,
        ``parent_recall``, ``recall``, ``gained``, ``lost``; ``sentence``. Figures of the parent are null where it
        takes another embedding.
    """
    parent = task.parent
    if parent is None:
        raise ValueError("The task has no parent.")
    old = len(parent.classes)
    before = parent_scores(parent, task)
    truth, now = _right(task, rows, scores, old)
    was = None if before is None else _right(task, rows, before[rows], old)[1]
    per_class = [_of_class(name, truth[:, c], now[:, c], None if was is None else was[:, c])
                 for c, name in enumerate(parent.classes)]  # fmt: skip
    result: dict[str, Any] = {
        "parent": parent.name,
        "old_classes": old,
        "new_classes": list(task.classes[old:]),
        "absent": [task.classes[c] for c in np.flatnonzero(absent)],
        "evaluated": int(truth.any(axis=1).sum()),
        "gained": None if was is None else sum(entry["gained"] for entry in per_class),
        "lost": None if was is None else sum(entry["lost"] for entry in per_class),
        "per_class": per_class,
    }
    return result | {"sentence": _sentence(result)}


def _right(task: Task, rows: I64, scores: F32, old: int) -> tuple[Mask, Mask]:
    """(m, old) which rows have which class, and which of these are answered so."""
    if task.multilabel:
        truth = task.marks[rows, :old]
        return truth, truth & (scores[:, :old] > 0)
    truth = task.labels[rows][:, None] == np.arange(old)
    return truth, truth & (scores.argmax(axis=1)[:, None] == np.arange(old))


def _of_class(name: str, truth: Mask, now: Mask, was: Mask | None) -> dict[str, Any]:
    evaluated = int(truth.sum())

    def recall(right: Mask | None) -> float | None:
        return None if right is None or not evaluated else float(right.sum()) / evaluated

    return {
        "class": name,
        "evaluated": evaluated,
        "parent_recall": recall(was),
        "recall": recall(now),
        "gained": None if was is None else int((now & ~was).sum()),
        "lost": None if was is None else int((was & ~now).sum()),
    }


def _sentence(result: dict[str, Any]) -> str:
    absent = result["absent"]
    unevaluated = (
        f" {len(absent)} of them have no row here and are not evaluated: {', '.join(absent[:10])}"
        f"{', ...' if len(absent) > 10 else ''}."
        if absent
        else ""
    )
    begun = f"Grown from {result['parent']} with {result['old_classes']} classes to {len(result['new_classes'])} more."
    if not result["evaluated"]:
        return f"{begun} None of the old classes could be held out, so what became of them is not known.{unevaluated}"
    if result["gained"] is None:
        return f"{begun} The parent takes another embedding, so it cannot be compared with.{unevaluated}"
    return (
        f"{begun} Of {result['evaluated']} held-out rows of the old classes, {result['gained']} are right now that the "
        f"parent got wrong, and {result['lost']} are wrong now that it got right.{unevaluated}"
    )
