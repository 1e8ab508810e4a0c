"""How good predictions of a table are, and what scikit-learn reaches with the same rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.scores import F64
from benchmarks.tables_data import TableData

Figures = dict[str, float]
SMALLEST = 1e-12
KERNEL_R2 = "r2_kernel"
"""Of scikit-learn's kernel ridge."""


@dataclass(frozen=True)
class Fold:
    """One fold of one table.

    Attributes:
        table, number: Which.
        service: Figures of the service, by name.
        baseline: The same of scikit-learn, fitted on the same rows.
        method: What the service chose.
        fit_s: From the start of the upload to the published version.
    """

    table: str
    number: int
    service: Figures
    baseline: Figures
    method: str
    fit_s: float


def measure(held: TableData, predicted: F64) -> Figures:
    """Score probabilities (n,) of the positive class, or values (n,), against the table's own."""
    from sklearn import metrics

    if held.regression:
        y = np.array(held.target, dtype=np.float64)
        return {"r2": metrics.r2_score(y, predicted), "rmse": float(np.sqrt(np.mean((y - predicted) ** 2)))}
    positive = np.array([label == held.positive for label in held.target])
    return {
        "average_precision": float(metrics.average_precision_score(positive, predicted)),
        "roc_auc": float(metrics.roc_auc_score(positive, predicted)),
        "log_loss": float(-np.log(np.clip(np.where(positive, predicted, 1 - predicted), SMALLEST, 1)).mean()),
    }


def references(fitted: TableData, held: TableData) -> Figures:
    """What scikit-learn reaches: figures of its linear method, and of numbers the R² of kernel ridge beside."""
    figures = measure(held, baseline(fitted, held))
    if not held.regression:
        return figures
    return figures | {KERNEL_R2: measure(held, kernel_ridge(fitted, held))["r2"]}


def kernel_ridge(fitted: TableData, held: TableData) -> F64:
    """Kernel ridge on standardised numbers, width and penalty cross-validated on the rows that are fitted."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    grid = {"kernelridge__alpha": np.logspace(-2, 2, 9), "kernelridge__gamma": np.logspace(-4, 0, 9)}
    search = GridSearchCV(make_pipeline(StandardScaler(), KernelRidge(kernel="rbf")), grid, cv=5)
    model = TransformedTargetRegressor(search, transformer=StandardScaler())
    predicted = model.fit(_cells(fitted), np.array(fitted.target, dtype=np.float64)).predict(_cells(held))
    return np.asarray(predicted, dtype=np.float64)


def baseline(fitted: TableData, held: TableData) -> F64:
    """Logistic regression or cross-validated ridge on one-hot categories and standardised numbers."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts = [i for i, cell in enumerate(fitted.rows[0].values()) if isinstance(cell, str)]
    numbers = [i for i in range(len(fitted.rows[0])) if i not in texts]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), texts), (StandardScaler(), numbers), sparse_threshold=0
    )
    method = RidgeCV(np.logspace(-3, 3, 25)) if fitted.regression else LogisticRegression(max_iter=5000)
    pipeline = make_pipeline(columns, method).fit(_cells(fitted), fitted.target)
    if fitted.regression:
        return np.asarray(pipeline.predict(_cells(held)), dtype=np.float64)
    column = pipeline.classes_.tolist().index(fitted.positive)
    return np.asarray(pipeline.predict_proba(_cells(held))[:, column], dtype=np.float64)


def _cells(data: TableData) -> Any:
    return np.array([list(row.values()) for row in data.rows], dtype=object)
