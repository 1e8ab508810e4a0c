"""The calls of the engine's benchmarks, made as any caller of the HTTP interface would make them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.engine_data import Drawn
from benchmarks.http_calls import HttpCalls

CALL = 256
"""Inputs a prediction call."""


class EngineClient(HttpCalls):
    """A service, seen by a caller with any kind of items."""

    def upload(self, drawn: Drawn) -> str:
        """Upload a draw; the dataset's id."""
        files = {"file": (drawn.filename, drawn.content)}
        meta = {"meta": json.dumps(drawn.form)}
        return str(self._json(self._http.post("/v1/datasets", data=meta, files=files))["id"])

    def fit(self, dataset: str, name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
        """Fit; the version, and seconds a stage."""
        body = {"name": name, "dataset": dataset, "promote": "always", **options}
        done = self._finished(self._json(self._http.post("/v1/adapters", json=body)))
        version = self._json(self._http.get(f"/v1/adapters/{name}/versions/{done['version']}"))
        return version, done["seconds"]

    def predict(self, ref: str, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """One answer an input, with every class."""
        answers: list[dict[str, Any]] = []
        for start in range(0, len(inputs), CALL):
            body = {"inputs": list(inputs[start : start + CALL]), "top_k": 1_000}
            answers += self._json(self._http.post(f"/v1/adapters/{ref}/predict", json=body))["predictions"]
        return answers

    def report(self, ref: str) -> dict[str, Any]:
        """A version's report."""
        name, _, number = ref.partition(":")
        return self._json(self._http.get(f"/v1/adapters/{name}/versions/{number}/report"))
