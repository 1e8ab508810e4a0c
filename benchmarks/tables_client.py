"""The calls of the tables benchmark, made as any caller of the HTTP interface would make them."""

import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.scores import F64
from benchmarks.tables_data import Record, TableData

LARGEST_CALL = 1_000
WAIT_S = 20
"""Seconds that one call waits for a fit."""
FIT_S = 120.0


@dataclass(frozen=True)
class Fitted:
    """A published version: its reference, the method it chose, and seconds from the start of its upload."""

    ref: str
    method: str
    seconds: float


class Tables:
    """A service, seen by a caller with tables."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, trust_env=False, timeout=60)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def fit(self, data: TableData, name: str) -> Fitted:
        """Upload a table as CSV and fit `auto` on it.

        Raises:
            SystemExit: The fit failed, or took longer than `FIT_S`.
        """
        task = "regression" if data.regression else "classification"
        form = {"name": name, "modality": "table", "target": data.column, "task": task, "method": "auto"}
        with tempfile.TemporaryDirectory() as folder:
            content = data.write_csv(Path(folder) / "rows.csv").read_bytes()
        started = time.perf_counter()
        files = {"file": ("rows.csv", io.BytesIO(content), "text/csv")}
        body = self._json(self._http.post(f"/v1/adapters?wait={WAIT_S}", data=form, files=files))
        version = self._version(body)
        seconds = time.perf_counter() - started
        return Fitted(version["ref"], version["method"]["method"], seconds)

    def predict(self, ref: str, records: Sequence[Record]) -> list[dict[str, Any]]:
        """One answer a row."""
        answers: list[dict[str, Any]] = []
        for start in range(0, len(records), LARGEST_CALL):
            body = {"inputs": records[start : start + LARGEST_CALL]}
            answers += self._json(self._http.post(f"/v1/adapters/{ref}/predict", json=body))["predictions"]
        return answers

    def _version(self, body: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + FIT_S
        while "state" in body:  # it is a job still
            if body["state"] in {"failed", "cancelled"} or time.monotonic() > deadline:
                raise SystemExit(f"The fit of {body['adapter']} is {body['state']}: {body['error']}")
            if body["state"] == "succeeded":
                return self._json(self._http.get(f"/v1/adapters/{body['adapter']}/versions/{body['version']}"))
            time.sleep(0.05)
            body = self._json(self._http.get(f"/v1/jobs/{body['id']}"))
        return body

    @staticmethod
    def _json(answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise SystemExit(f"The service answered {answer.status_code}: {answer.text[:2000]}")
        body: dict[str, Any] = answer.json()
        return body


def predicted(answers: Sequence[dict[str, Any]], positive: str | None) -> F64:
    """(n,) probabilities of the positive class, or values where there is none."""
    if positive is None:
        return np.array([answer["value"] for answer in answers], dtype=np.float64)
    return np.array([dict(answer["top"])[positive] for answer in answers], dtype=np.float64)
