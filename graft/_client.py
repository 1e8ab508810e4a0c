"""The client of a Graft service."""

import ipaddress
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, TypedDict, Unpack, overload

import httpx

from graft._answers import PredictedFile, Predictions
from graft._backbones import Backbones
from graft._calls import Calls, Request, decode
from graft._errors import Busy, GraftError, Timeout
from graft._inputs import Input
from graft._predicting import RowProgress, predict, predict_file
from graft._refit import Refit
from graft._resources import Adapters, Datasets, Jobs, Keys, given, new_key, number_of
from graft._retry import Retry
from graft._signatures import Descriptions, Signatures, SignaturesOf, told
from graft._types import Dataset, Job, Readiness, Version
from graft._upload import Sent, Upload, upload_file
from graft._version import __version__
from graft._waiting import Follower
from graft._zero_shot import zero_shot

DEFAULT_URL = "http://127.0.0.1:3000"

Method = str | Mapping[str, Any]
Progress = Callable[[Job], None]
Labels = Mapping[str, Mapping[str, str | None]]
"""What labels are called, by the version that calls them otherwise."""


class FitOptions(TypedDict, total=False):
    """What may be left out of `Client.fit`, whether it waits or not; told there."""

    method: Method
    backbone: str | None
    tap: str | None
    peft: str | None
    parents: str | Sequence[str] | None
    signatures: str | Signatures | None
    labels: Labels | None
    long: str | None
    modality: str | None
    text: str | None
    label: str | None
    target: str | None
    task: str | None
    group: str | None
    weight: str | None
    columns: Mapping[str, str] | None
    strict: bool
    max_seconds: float | None
    seed: int | None
    promote: str | None
    timeout_s: float | None
    on_progress: Progress | None
    on_upload: Sent | None


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
        self.datasets = Datasets(self._calls)
        self.adapters = Adapters(self._calls)
        self.jobs = Jobs(self._calls, Follower(self._calls))
        self.backbones = Backbones(self._calls, self.jobs)
        self.signatures = SignaturesOf(self._calls)
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
        data: Upload | Dataset | None = None,
        *,
        name: str,
        wait: Literal[True] = ...,
        **options: Unpack[FitOptions],
    ) -> Version: ...

    @overload
    def fit(
        self,
        data: Upload | Dataset | None = None,
        *,
        name: str,
        wait: bool,
        **options: Unpack[FitOptions],
    ) -> Version | Job: ...

    def fit(
        self,
        data: Upload | Dataset | None = None,
        *,
        name: str,
        method: Method = "auto",
        backbone: str | None = None,
        tap: str | None = None,
        peft: str | None = None,
        parents: str | Sequence[str] | None = None,
        signatures: str | Signatures | None = None,
        labels: Labels | None = None,
        long: str | None = None,
        modality: str | None = None,
        text: str | None = None,
        label: str | None = None,
        target: str | None = None,
        task: str | None = None,
        group: str | None = None,
        weight: str | None = None,
        columns: Mapping[str, str] | None = None,
        strict: bool = False,
        max_seconds: float | None = None,
        seed: int | None = None,
        promote: str | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Progress | None = None,
        on_upload: Sent | None = None,
    ) -> Version | Job:
        """Fit an adapter to labelled items: upload, fit and publish in one call. What is left out, the service chooses.

        Args:
            data: Path of a file of texts or table rows (CSV, TSV, JSONL, Parquet), of vectors (.npz, Parquet), or of
                images or sounds (.zip, .tar, Parquet); a folder of class folders, or with a ``metadata.csv``; the bytes
                of such a file; (text, label) pairs; (path or bytes of an image or a sound, label) pairs; or a dataset
                that is already there. A label of a pair is a string, a list of strings (any number of labels), or a
                number. None where signatures, or the versions of an ensemble, say all there is to learn.
            name: What to call the adapter; a name that exists gets a new version.
            method: ``auto``, a method's name, or its parameters: ``{"method": "logistic", "prior": "names"}``.
            backbone: Name of a hosted backbone, or ``auto``, which compares those that fit the data; the service's
                first one of the modality where left out.
            tap: What of the backbone is learned from: ``pooled``, its embedding (where left out), or ``blocks``, the
                activations of any of its blocks, picked or joined by what they are worth.
            peft: Folder, on the service's machine, of a LoRA adapter in PEFT's format that the method ``lora`` starts
                from.
            parents: The version to grow from (``intents:3``): the new one starts there and stays close to it, with more
                rows, new classes, or both. Of an ``ensemble`` all those that it averages, of ``conse`` the one whose
                classes items are averages of.
            signatures: What tells the classes, or its id (``sig_...``): those included that no row shows.
            labels: What the labels of each parent of an ensemble are called in it: ``{"old:3": {"cat": "pet"}}``; None
                leaves one out.
            long: What becomes of long texts and sounds: ``truncate`` (their end is left out) or ``chunk`` (all parts
                averaged).
            modality: What the file holds: ``text``, ``image``, ``audio``, ``table`` or ``vector``; guessed where left
                out.
            text: Column of the texts in the file, guessed where left out.
            label: Column of the labels in the file, guessed where left out.
            target: Column that is to be predicted: of a table, or numbers of texts, images and sounds.
            task: ``classification``, ``multilabel`` (any number of labels an item: lists, or ``a|b``) or
                ``regression``; by the target's values where left out.
            group: Column that says which rows belong together (one patient, session, speaker, conversation): they are
                never split between what is learned from and what it is measured on.
            weight: Column of how much each row counts.
            columns: What columns of a table are where the guess is wrong: ``number``, ``boolean``, ``date``,
                ``category`` or ``ignore``, by name.
            strict: Refuse the file for any bad row.
            max_seconds: Limit on fitting.
            seed: Source of all randomness.
            promote: Whether the new version goes live: ``auto`` (unless it is worse), ``always`` or ``never``.
            wait: Wait for the end. Without, a Job is returned (a Version when it was done at once).
            timeout_s: Longest wait for the end; None waits for as long as it takes.
            on_progress: Called with the job at each change.
            on_upload: Told of the bytes sent so far, and of all.

        Returns:
            The published version.

        Raises:
            ApiError: The data or a parameter was refused.
            ValueError: A folder is empty, or there is no room to pack it.
            JobFailed, JobCancelled: How the fit ended instead.
            Timeout: It was not done after `timeout_s`; it goes on in the service.
        """
        fields: dict[str, Any] = {"name": name, "backbone": backbone, "method": method, "tap": tap, "peft": peft}
        fields["parents"] = [parents] if isinstance(parents, str) else parents and list(parents)
        fields |= {"signatures": signatures.id if isinstance(signatures, Signatures) else signatures, "labels": labels}
        fields |= {"long": long, "max_seconds": max_seconds, "seed": seed, "promote": promote}
        reading: dict[str, Any] = {"modality": modality, "text": text, "label": label, "target": target}
        reading |= {"task": task, "group": group, "weight": weight, "columns": columns, "strict": strict or None}
        started = self._start_fit(data, given(fields), given(reading), on_upload)
        if not wait or isinstance(started, Version):
            return started
        return self.finish_fit(started, timeout_s=timeout_s, on_progress=on_progress)

    def finish_fit(self, job: Job, *, timeout_s: float | None = None, on_progress: Progress | None = None) -> Version:
        """Wait for a job that `fit` started (``wait=False``); see there for arguments and errors."""
        if on_progress is not None:
            on_progress(job)
        done = self.jobs.wait(job.id, timeout_s=timeout_s, on_progress=on_progress)
        return self.adapters.version(f"{done.adapter}:{done.version}")

    def refit(self, ref: str, *, timeout_s: float | None = None, on_progress: Progress | None = None) -> Refit:
        """Fit a version again from what it was made of, and compare the bytes. Nothing is published.

        Args:
            ref: ``name:3``, ``name@alias``, or ``name`` (the live version).
            timeout_s: Longest wait for the end; None waits for as long as it takes.
            on_progress: Called with the job at each change.

        Returns:
            Whether it came out the same, with the digests of its files.

        Raises:
            ApiError: The version, its dataset or its backbone is gone, or it is not known any more what it was made of.
            JobFailed, JobCancelled: How the fit ended instead.
            Timeout: It was not done after `timeout_s`; it goes on in the service.
        """
        job = self.adapters.start_refit(ref)
        if on_progress is not None:
            on_progress(job)
        done = self.jobs.wait(job.id, timeout_s=timeout_s, on_progress=on_progress)
        return Refit.from_json(done.result or {})

    def version(
        self,
        name: str,
        *,
        from_: int | str | None = None,
        signatures: str | Signatures | None = None,
        labels: Descriptions | None = None,
        templates: Sequence[str] | None = None,
        backbone: str | None = None,
        long: str | None = None,
        promote: str | None = None,
    ) -> Version:
        """Make a version without a fit, in some milliseconds: other classes for one that is there, or labels alone.

        Args:
            name: The adapter; without `from_` a new name makes a new one.
            from_: The version of it that is given other classes, by its number or its reference (``beasts:3``).
            signatures: What tells the classes, or its id: of the same attributes as those of `from_`.
            labels: In place of signatures: names of classes, or descriptions by name.
            templates: Sentences with ``{}`` where a label goes; their embeddings are averaged.
            backbone: Without `from_`: what embeds the inputs.
            long: Without `from_`: what becomes of long texts, ``truncate`` or ``chunk``.
            promote: Whether it goes live: ``auto`` and ``always``, or ``never``.

        Raises:
            ApiError: The version has no signatures, or these are of other attributes; no such version or backbone.
            TypeError: Neither `signatures` nor `labels`, or both.
            ValueError: `from_` is no version of `name`.
        """
        if (signatures is None) == (labels is None):
            raise TypeError("Give signatures (with from_, the version to start from), or labels (with backbone).")
        body: dict[str, Any] = {"from": from_ if from_ is None else number_of(name, from_)}
        body |= {"signatures": signatures.id if isinstance(signatures, Signatures) else signatures}
        body |= {"labels": told(labels), "templates": templates and list(templates), "backbone": backbone}
        return self.adapters.add_version(name, given(body | {"long": long, "promote": promote}))

    def zero_shot(
        self,
        backbone: str,
        inputs: Sequence[Input],
        labels: Descriptions | str | Signatures,
        *,
        templates: Sequence[str] | None = None,
        examples: Sequence[tuple[Input, str]] | None = None,
        top_k: int = 3,
    ) -> Predictions:
        """Predict inputs among labels, with nothing fitted: by the likeness of their embeddings.

        Args:
            backbone: Of texts, or of images where it is a tower of CLIP or SigLIP and the other tower is hosted too.
            inputs: As `predict`.
            labels: Names of classes; descriptions by name, one or several each; or signatures of the backbone.
            templates: Sentences with ``{}`` where the label goes; their embeddings are averaged. The label alone where
                left out.
            examples: A few (input, label) pairs by which probabilities are calibrated; nothing else is learned of them.
            top_k: How many labels to list in `Prediction.top`.

        Raises:
            TypeError, ValueError, OSError: As `predict`.
            ApiError: A label is empty or given twice, there are too many, or the backbone embeds no texts.
        """
        asked = {"templates": templates and list(templates), "top_k": top_k}
        return zero_shot(self._calls, backbone, inputs, labels, examples, given(asked))

    def predict(
        self,
        ref: str,
        inputs: Sequence[Input],
        *,
        top_k: int = 3,
        long: str | None = None,
        explain: bool = False,
        classes: Sequence[Mapping[str, Any]] | None = None,
        with_own: bool = False,
    ) -> Predictions:
        """Predict inputs, in the order given.

        Many, or large ones, go in several calls; all are answered by the version that answered the first.

        Args:
            ref: ``name`` (the live version), ``name@alias`` or ``name:3``.
            inputs: What the adapter was fitted on: texts; images or sounds, as `pathlib.Path` or bytes; dicts of
                columns (the rows of a table); or sequences of numbers such as the rows of a NumPy array.
            top_k: How many labels to list in `Prediction.top`.
            long: What becomes of long texts and sounds, ``truncate`` or ``chunk``; as the adapter was fitted where left
                out.
            explain: Say why, as far as the version can: `Prediction.attributes`, `sources` or `neighbours`.
            classes: The classes of this call alone, of a version that tells classes by signatures: each ``{"name": ...,
                "attributes": {...}}``, ``{"name": ..., "description": "..."}``, ``{"name": ..., "mixture": [["tiger",
                0.5], ["lion", 0.5]]}``, or by its name one of the version's own.
            with_own: Whether the version's own classes are answered too, beside `classes`.

        Returns:
            A list of answers; its `warnings` say what was odd about the inputs.

        Raises:
            TypeError: `inputs` is a single one or a data frame, or one of them is of another kind.
            ValueError: A file, or bytes, are neither an image nor a sound.
            OSError: A file cannot be read.
            ApiError: No such adapter, or an input that cannot be taken; `problems` points at it.
        """
        chosen = {"top_k": top_k, "long": long, "explain": explain or None, "classes": classes and list(classes)}
        chosen["with_own"] = with_own or None
        return predict(self._calls, ref, inputs, given(chosen))

    def predict_file(
        self,
        ref: str,
        path: str | Path,
        out: str | Path | IO[bytes],
        *,
        text: str | None = None,
        top_k: int = 1,
        long: str | None = None,
        filename: str | None = None,
        on_progress: RowProgress | None = None,
    ) -> PredictedFile:
        """Predict the rows of a file into another file of the same format, with answers beside the rows.

        Columns that are added: ``label`` and ``probability`` (with `top_k` also ``label_2``, ...) or ``value``,
        ``truncated`` of texts, ``adapter``, and ``warnings`` of the row. NumPy files are answered as JSON Lines.

        Args:
            ref: As `predict`.
            path: CSV, TSV, JSON Lines, a JSON list, Parquet, .npy or .npz.
            out: Where to write: a path, which takes its name only when it is complete, or an open binary file.
            text: Column of the texts; guessed where left out.
            top_k: Labels of each row.
            long: As `predict`.
            filename: What to call the file, where its name does not say its format.
            on_progress: Called with the rows received so far, about, and all of them.

        Raises:
            ApiError: No such adapter, or a file that cannot be read; nothing is answered then.
            Unreachable, Timeout: Nothing answered, or the answer broke off.
            OSError: A file cannot be read or written.
        """
        form = {name: _form(value) for name, value in given({"text": text, "top_k": top_k, "long": long}).items()}
        target = Path(out) if isinstance(out, str) else out
        name = filename or Path(path).name
        return predict_file(self._calls, ref, Path(path), target, filename=name, form=form, on_progress=on_progress)

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
        self, data: Upload | Dataset | None, fields: dict[str, Any], reading: dict[str, Any], on_upload: Sent | None
    ) -> Job | Version:
        if data is None and reading:
            raise TypeError(f"{', '.join(reading)}: how a file is read, and none is given.")
        if data is None:
            return self._created(json=fields)
        if isinstance(data, Dataset):
            if reading:
                raise TypeError(f"{', '.join(reading)}: chosen when a dataset is uploaded, and it is there already.")
            return self._created(json=fields | {"dataset": data.id})
        form = {name: _form(value) for name, value in (fields | reading).items()}
        with upload_file(data, on_upload) as file:
            return self._created(data=form, files={"file": file})

    def _created(self, **request: Unpack[Request]) -> Job | Version:
        request["headers"] = new_key()
        body = self._calls.json("POST", "/v1/adapters", repeatable=True, **request)
        return Job.from_json(body) if "state" in body else Version.from_json(body)


def _form(value: object) -> str:
    """A value as a field of a form: lists have commas between their items, other values that are no text are JSON."""
    if isinstance(value, list):
        return ",".join(value)
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
