"""The calls of the engine's benchmarks, made as any caller of the HTTP interface would make them."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from benchmarks.engine_data import Drawn

CALL = 256
"""Inputs a prediction call."""
WAIT_S = 60
JOB_S = 3_600.0


class EngineClient:
    """A service, seen by a caller with any kind of items."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, trust_env=False, timeout=WAIT_S + 60)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def host(self, body: Mapping[str, Any]) -> None:
        """Host a backbone and wait until it answers."""
        self._finished(self._json(self._http.post("/v1/backbones", json=body)))
        deadline = time.monotonic() + WAIT_S
        while self._json(self._http.get(f"/v1/backbones/{body['id']}"))["state"] != "ready":
            if time.monotonic() > deadline:
                raise SystemExit(f"Backbone {body['id']} did not become ready.")
            time.sleep(0.05)

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

    def _finished(self, job: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + JOB_S
        while job["state"] not in {"succeeded", "failed", "cancelled"} and time.monotonic() < deadline:
            time.sleep(0.05)
            job = self._json(self._http.get(f"/v1/jobs/{job['id']}"))
        if job["state"] != "succeeded":
            raise SystemExit(f"Job {job['id']} is {job['state']}: {job.get('error')}")
        return job

    @staticmethod
    def _json(answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise SystemExit(f"The service answered {answer.status_code}: {answer.text[:2000]}")
        body: dict[str, Any] = answer.json()
        return body
