"""The client of a Graft service."""

import ipaddress
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack, overload

import httpx

from graft._calls import Calls, Request, decode
from graft._errors import Busy, GraftError, Timeout
from graft._resources import Adapters, Backbones, Datasets, Jobs, Keys, new_key, segment
from graft._retry import Retry
from graft._types import Dataset, Job, Prediction, Readiness, Version
from graft._upload import Rows, upload_file
from graft._version import __version__
from graft._waiting import Follower

DEFAULT_URL = "http://127.0.0.1:3000"
LARGEST_CALL = 1000
"""Inputs that the service takes in one call to predict."""

Method = str | Mapping[str, Any]
Progress = Callable[[Job], None]


class FitOptions(TypedDict, total=False):
    """What may be left out of `Client.fit`, whether it waits or not; told there."""

    method: Method
    backbone: str | None
    text: str | None
    label: str | None
    strict: bool
    max_seconds: float | None
    seed: int | None
    promote: str | None
    timeout_s: float | None
    on_progress: Progress | None


class Client:
    """A Graft service, as a context manager that closes its connections. Thread-safe.

    Args:
        base_url: Where the service is; by default the environment's ``GRAFT_URL``, else ``http://127.0.0.1:3000``.
        timeout_s: Longest silence in one call.
        key: Sent as a bearer token; by default the environment's ``GRAFT_KEY``, else none.
        retry: How calls are repeated that did not reach the service or found it busy.
        transport: Carries the calls, for tests.

    Raises:
        ValueError: The address is not an http(s) URL, or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        timeout_s: float = 60.0,
        key: str | None = None,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = (base_url or os.environ.get("GRAFT_URL") or DEFAULT_URL).rstrip("/")
        headers = {"User-Agent": f"graft/{__version__}"} | _authorization(key or os.environ.get("GRAFT_KEY", ""))
        self._http = httpx.Client(
            base_url=_checked(self.base_url),
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0)),
            headers=headers,
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=not _is_loopback(self.base_url),
            transport=transport,
        )
        self._calls = Calls(self._http, retry or Retry())
        self.backbones = Backbones(self._calls)
        self.datasets = Datasets(self._calls)
        self.adapters = Adapters(self._calls)
        self.jobs = Jobs(self._calls, Follower(self._calls))
        self.keys = Keys(self._calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @overload
    def fit(
        self,
        data: str | Path | Rows | Dataset,
        *,
        name: str,
        wait: Literal[True] = ...,
        **options: Unpack[FitOptions],
    ) -> Version: ...

    @overload
    def fit(
        self,
        data: str | Path | Rows | Dataset,
        *,
        name: str,
        wait: bool,
        **options: Unpack[FitOptions],
    ) -> Version | Job: ...

    def fit(
        self,
        data: str | Path | Rows | Dataset,
        *,
        name: str,
        method: Method = "auto",
        backbone: str | None = None,
        text: str | None = None,
        label: str | None = None,
        strict: bool = False,
        max_seconds: float | None = None,
        seed: int | None = None,
        promote: str | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
    ) -> Version | Job:
        """Fit an adapter to labelled texts: upload, fit and publish in one call. What is left out, the service chooses.

        Args:
            data: Path of a CSV, TSV, JSONL or Parquet file, (text, label) pairs, or a dataset that is already there.
            name: What to call the adapter; a name that exists gets a new version.
            method: ``auto``, a method's name, or its parameters: ``{"method": "logistic", "prior": "names"}``.
            backbone: Id of a hosted backbone; the service's first one where left out.
            text: Column of the texts in the file, guessed where left out.
            label: Column of the labels in the file, guessed where left out.
            strict: Refuse the file for any bad row.
            max_seconds: Limit on fitting.
            seed: Source of all randomness.
            promote: Whether the new version goes live: ``auto`` (unless it is worse), ``always`` or ``never``.
            wait: Wait for the end. Without, a Job is returned (a Version when it was done at once).
            timeout_s: Longest wait for the end; None waits for as long as it takes.
            on_progress: Called with the job at each change.

        Returns:
            The published version.

        Raises:
            ApiError: The data or a parameter was refused.
            JobFailed, JobCancelled: How the fit ended instead.
            Timeout: It was not done after `timeout_s`; it goes on in the service.
        """
        fields: dict[str, Any] = {"name": name, "backbone": backbone, "method": method}
        fields |= {"max_seconds": max_seconds, "seed": seed, "promote": promote}
        columns = {"text": text, "label": label, "strict": strict or None}
        started = self._start_fit(data, _given(fields), _given(columns))
        if not wait or isinstance(started, Version):
            return started
        return self.finish_fit(started, timeout_s=timeout_s, on_progress=on_progress)

    def finish_fit(self, job: Job, *, timeout_s: float | None = None, on_progress: Progress | None = None) -> Version:
        """Wait for a job that `fit` started (``wait=False``); see there for arguments and errors."""
        if on_progress is not None:
            on_progress(job)
        done = self.jobs.wait(job.id, timeout_s=timeout_s, on_progress=on_progress)
        return self.adapters.version(f"{done.adapter}:{done.version}")

    def predict(self, ref: str, texts: Sequence[str], *, top_k: int = 3) -> list[Prediction]:
        """Classify texts, in the order given.

        More than 1,000 texts go in several calls; all are answered by the version that answered the first.

        Args:
            ref: ``name`` (the live version), ``name@alias`` or ``name:3``.
            texts: The texts.
            top_k: How many labels to list in `Prediction.top`.

        Raises:
            TypeError: `texts` is a single string.
            ApiError: No such adapter, or a text that cannot be taken; `problems` points at it.
        """
        if isinstance(texts, str):
            raise TypeError(f"texts is a single string; put it in a list: client.predict({ref!r}, [text]).")
        predictions: list[Prediction] = []
        for start in range(0, len(texts), LARGEST_CALL):
            chunk = list(texts[start : start + LARGEST_CALL])
            predictions += self._predict(predictions[0].adapter if predictions else ref, chunk, top_k)
        return predictions

    def readiness(self) -> Readiness:
        """Whether the service can answer now. Raises Unreachable."""
        try:
            return Readiness(ready=decode(self._calls.once("GET", "/readyz")).get("ready", True) is True)
        except Busy as busy:
            return Readiness(ready=False, reason=busy.detail)

    def ready(self, timeout_s: float = 0.0) -> None:
        """Return once the service can answer.

        Raises:
            Timeout: It could not after `timeout_s`; says what it was waiting for.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                now = self.readiness()
            except GraftError as error:
                now = Readiness(reason=str(error))
            if now.ready:
                return
            if time.monotonic() >= deadline:
                raise Timeout(f"{self.base_url} is not ready after {timeout_s:g} s: {now.reason}")
            time.sleep(0.1)

    def _start_fit(
        self, data: str | Path | Rows | Dataset, fields: dict[str, Any], columns: dict[str, Any]
    ) -> Job | Version:
        if isinstance(data, Dataset):
            if columns:
                raise TypeError("text, label and strict are chosen when a dataset is uploaded; it is there already.")
            return self._created(json=fields | {"dataset": data.id})
        form = {name: _form(value) for name, value in (fields | columns).items()}
        with upload_file(data) as file:
            return self._created(data=form, files={"file": file})

    def _created(self, **request: Unpack[Request]) -> Job | Version:
        request["headers"] = new_key()
        body = self._calls.json("POST", "/v1/adapters", repeatable=True, **request)
        return Job.from_json(body) if "state" in body else Version.from_json(body)

    def _predict(self, ref: str, texts: list[str], top_k: int) -> list[Prediction]:
        path = f"/v1/adapters/{segment(ref)}/predict"
        body = self._calls.json("POST", path, repeatable=True, json={"inputs": texts, "top_k": top_k})
        common = {"adapter": body.get("adapter", ref), "calibrated": body.get("calibrated", False)}
        return [Prediction.from_json(common | one) for one in body["predictions"]]


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _form(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is not the address of a service; write http://host:port.")
    return url


def _authorization(key: str) -> dict[str, str]:
    text = key.strip()
    if not text:
        return {}
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("The key (key=... or GRAFT_KEY) has characters that none has; copy it whole, in one line.")
    return {"Authorization": f"Bearer {text}"}


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
