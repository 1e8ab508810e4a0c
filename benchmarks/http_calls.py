"""What every caller of the HTTP interface does: host a backbone, wait for jobs, read JSON."""

import time
from collections.abc import Mapping
from typing import Any

import httpx

WAIT_S = 60
JOB_S = 3_600.0


class HttpCalls:
    """A service, seen by a caller."""

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
