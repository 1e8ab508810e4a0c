"""What a task has to be before anything is computed with it."""

import numpy as np

from adapters.base import Task
from adapters.linalg import blocks
from models.errors import WrongInput


def counted(task: Task) -> Task:
    """Without the rows that weigh nothing: they are as if they were not there."""
    if task.weights is None or (task.weights > 0).all():
        return task
    return task.rows(task.weights > 0)


def admit_embeddings(task: Task) -> None:
    """Refuse numbers that nothing can be computed with, before they end an algorithm somewhere inside.

    Raises:
        WrongInput: The embedding of a row or of a class name is not finite.
    """
    for rows in blocks(task.z):
        finite = np.isfinite(task.z[rows]).all(axis=1)
        if not finite.all():
            row = rows.start + int(finite.argmin())
            raise WrongInput(
                f"The embedding of row {row} holds a number that is not finite. Leave the row out, or use another "
                "backbone: this one cannot embed it."
            )
    if task.names is not None and not np.isfinite(task.names).all():
        name = task.classes[int(np.isfinite(task.names).all(axis=1).argmin())]
        raise WrongInput(
            f"The embedding of the class name {name!r} holds a number that is not finite. Rename the class, or use "
            "another backbone."
        )
