"""The service's collections: `client.datasets`, `adapters`, `jobs`, `keys`; `client.backbones` has a module of its own.

Lists are read to their end, page by page; `limit` stops earlier.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote

from graft._calls import Calls, Request, decode
from graft._errors import JobCancelled, JobFailed
from graft._types import Adapter, Alias, Dataset, Job, Key, Version
from graft._upload import Sent, Upload, upload_file
from graft._waiting import Follower

PAGE = 100
"""Largest page that the service gives."""


def new_key() -> dict[str, str]:
    """A header that lets a creating call be repeated without creating twice."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were not left out."""
    return {name: value for name, value in fields.items() if value is not None}


def segment(text: str) -> str:
    """One segment of a path, whatever is in it; ``:`` and ``@`` stay, as references use them."""
    return quote(text, safe=":@")


def pages(calls: Calls, path: str, *, key: str = "id", **query: str) -> Iterator[dict[str, Any]]:
    """The objects of a list, page after page; `key` is the field that names the last one."""
    params: dict[str, Any] = {"limit": PAGE} | query
    while True:
        page = calls.json("GET", path, params=params)
        yield from page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        params["after"] = page["data"][-1][key]


class Datasets:
    """Uploaded datasets."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def upload(
        self,
        data: Upload,
        *,
        name: str | None = None,
        modality: str | None = None,
        text: str | None = None,
        label: str | None = None,
        target: str | None = None,
        task: str | None = None,
        group: str | None = None,
        weight: str | None = None,
        columns: Mapping[str, str] | None = None,
        strict: bool = False,
        on_upload: Sent | None = None,
    ) -> Dataset:
        """Upload a file, a folder, or pairs. The same file with the same choices gives the same dataset.

        Args:
            data: Path of a file of texts or table rows (CSV, TSV, JSONL, Parquet), of vectors (.npz, Parquet), or of
                images or sounds (.zip, .tar, Parquet); a folder of class folders, or with a ``metadata.csv``; the bytes
                of such a file; (text, label) pairs; or (path or bytes of an image or a sound, label) pairs.
            name: What to call it; the file's name where left out.
            modality: ``text``, ``image``, ``audio``, ``table`` or ``vector``; guessed where left out.
            text: Column of the texts, guessed where left out.
            label: Column of the labels, guessed where left out.
            target: Column that is to be predicted: of a table, or numbers of texts, images and sounds.
            task: ``classification``, ``multilabel`` (any number of labels an item: lists, or ``a|b``) or
                ``regression``; by the target's values where left out.
            group: Column that says which rows belong together; they are never split between what is learned from and
                what it is measured on.
            weight: Column of how much each row counts.
            columns: Kinds of a table's columns where the guess is wrong: ``number``, ``boolean``, ``date``,
                ``category`` or ``ignore``, by name.
            strict: Refuse the upload for any bad row, instead of leaving bad rows out.
            on_upload: Told of the bytes sent so far, and of all.

        Raises:
            ApiError: The file cannot be used; `problems` lists rows.
            OSError: The file cannot be read.
            ValueError: A folder is empty, or there is no room to pack it.
        """
        chosen: dict[str, Any] = {"name": name, "modality": modality, "text": text, "label": label, "target": target}
        chosen |= {"task": task, "group": group, "weight": weight}
        meta = given(chosen | {"columns": columns, "strict": strict or None})
        form = {"meta": json.dumps(meta)} if meta else {}
        with upload_file(data, on_upload) as file:
            request: Request = {"headers": new_key(), "files": {"file": file}, "data": form}
            return Dataset.from_json(self._calls.json("POST", "/v1/datasets", repeatable=True, **request))

    def list(self, *, limit: int | None = None) -> Sequence[Dataset]:
        """Datasets in the service's order."""
        return [Dataset.from_json(d) for d in islice(pages(self._calls, "/v1/datasets"), limit)]

    def get(self, dataset: str) -> Dataset:
        """One dataset by id. Raises NotFound."""
        return Dataset.from_json(self._calls.json("GET", f"/v1/datasets/{segment(dataset)}"))

    def delete(self, dataset: str) -> None:
        """Delete a dataset by id. Raises NotFound."""
        self._calls.send("DELETE", f"/v1/datasets/{segment(dataset)}")


class Adapters:
    """Published adapters.

    A `ref` is ``name:3`` (a version), ``name@alias`` or ``name`` (the live version).
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, limit: int | None = None) -> Sequence[Adapter]:
        """Adapters, without their versions."""
        return [Adapter.from_json(a) for a in islice(pages(self._calls, "/v1/adapters", key="name"), limit)]

    def get(self, name: str) -> Adapter:
        """One adapter with its versions. Raises NotFound."""
        return Adapter.from_json(self._calls.json("GET", f"/v1/adapters/{segment(name)}"))

    def version(self, ref: str) -> Version:
        """One version. Raises NotFound, and ValueError for a `ref` that leads nowhere."""
        return Version.from_json(self._calls.json("GET", self._path(ref)))

    def add_version(self, name: str, body: Mapping[str, Any]) -> Version:
        """Make a version without a fit; see `Client.version`."""
        path = f"/v1/adapters/{segment(name)}/versions"
        return Version.from_json(self._calls.json("POST", path, repeatable=True, headers=new_key(), json=body))

    def report(self, ref: str) -> dict[str, Any]:
        """The evaluation report of a version, as JSON. Raises as `version` does."""
        return self._calls.json("GET", f"{self._path(ref)}/report")

    def onnx(self, ref: str) -> bytes:
        """The ONNX file of a version's head. Raises as `version` does."""
        return self._calls.send("GET", f"{self._path(ref)}/adapter.onnx").content

    def set_alias(self, name: str, alias: str, version: int, *, if_match: str | None = None) -> Alias:
        """Point an alias at a version, in one step.

        Args:
            name: The adapter.
            alias: ``live`` is what a bare name means.
            version: Its number.
            if_match: `etag` that the alias must still have; ApiError (412) where somebody else has moved it.
        """
        path = f"/v1/adapters/{segment(name)}/aliases/{segment(alias)}"
        headers = {"If-Match": if_match} if if_match else {}
        response = self._calls.send("PUT", path, json={"version": version}, headers=headers)
        return Alias.from_json(decode(response) | {"etag": response.headers.get("etag")})

    def start_refit(self, ref: str) -> Job:
        """Start to fit a version again (see `Client.refit`, which waits). Raises as `version` does."""
        return Job.from_json(self._calls.json("POST", f"{self._path(ref)}/refit"))

    def delete_version(self, ref: str) -> None:
        """Delete a version. Raises NotFound, and ValueError for a `ref` that does not name a version by number."""
        name, number = split(ref)
        if number is None or isinstance(number, str):
            raise ValueError(f"{ref!r} may mean another version tomorrow; name the one to delete: {name}:3.")
        self._calls.send("DELETE", f"/v1/adapters/{segment(name)}/versions/{number}")

    def _path(self, ref: str) -> str:
        name, version = split(ref)
        number = version if isinstance(version, int) else self._aliased(name, version or "live")
        return f"/v1/adapters/{segment(name)}/versions/{number}"

    def _aliased(self, name: str, alias: str) -> int:
        adapter = self.get(name)
        numbers = {"live": adapter.live, "latest": adapter.latest} | dict(adapter.aliases)
        number = numbers.get(alias)
        if number is None:
            known = ", ".join(sorted(alias for alias, number in numbers.items() if number is not None))
            raise ValueError(f"{name} has no alias {alias!r}; it has: {known or 'none'}.")
        return number


def split(ref: str) -> tuple[str, int | str | None]:
    """A reference's name and its version number, alias or None. Raises ValueError."""
    name, colon, number = ref.partition(":")
    if colon:
        if not number.isascii() or not number.isdigit():
            raise ValueError(f"{ref!r} is no reference; write name, name@alias or name:3.")
        return name, int(number)
    name, at, alias = ref.partition("@")
    return name, alias if at else None


def number_of(name: str, version: int | str) -> int:
    """The number of a version of an adapter, from that or its reference. Raises ValueError."""
    if isinstance(version, int) or version.isdigit():
        return int(version)
    adapter, number = split(version)
    if adapter != name or not isinstance(number, int):
        raise ValueError(f"{version!r} is no version of {name}; write its number, or {name}:3.")
    return number


class Jobs:
    """Work in the service's queue."""

    def __init__(self, calls: Calls, follower: Follower) -> None:
        self._calls = calls
        self._follower = follower

    def list(self, *, state: str | None = None, limit: int | None = None) -> Sequence[Job]:
        """Jobs, all or those in one state (queued, running, succeeded, failed, cancelled)."""
        query = {"state": state} if state else {}
        return [Job.from_json(j) for j in islice(pages(self._calls, "/v1/jobs", **query), limit)]

    def get(self, job: str) -> Job:
        """One job by id. Raises NotFound."""
        return Job.from_json(self._calls.json("GET", f"/v1/jobs/{segment(job)}"))

    def events(self, job: str, *, timeout_s: float | None = None) -> Iterator[Job]:
        """Yield the job at each change until it is finished, however it ends.

        Raises:
            Timeout: It is not finished after `timeout_s`; it goes on.
            Unreachable: The service has been away for a minute.
        """
        return self._follower.follow(job, timeout_s)

    def wait(
        self, job: str, *, timeout_s: float | None = None, on_progress: Callable[[Job], None] | None = None
    ) -> Job:
        """Wait until a job has succeeded.

        Args:
            job: Its id.
            timeout_s: Longest wait; None waits for as long as it takes.
            on_progress: Called with the job at each change.

        Raises:
            JobFailed, JobCancelled: How it ended instead.
            Timeout, Unreachable: As `events`.
        """
        last = None
        for last in self.events(job, timeout_s=timeout_s):
            if on_progress is not None:
                on_progress(last)
        if last is None or last.state == "failed":
            raise JobFailed(last or self.get(job))
        if last.state == "cancelled":
            raise JobCancelled(last)
        return last

    def cancel(self, job: str) -> Job:
        """Ask a job to stop. Raises NotFound, and ApiError (409) when it is finished."""
        return Job.from_json(self._calls.json("POST", f"/v1/jobs/{segment(job)}/cancel"))


class Keys:
    """Who may call the service. Each call needs a key with the scope ``admin``, except while there is no key at all."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, scopes: Sequence[str], *, tenant: str | None = None, name: str = "") -> Key:
        """Make a key; its text is in `Key.key` of this answer and nowhere else.

        The first key of a service locks it; it must have the scope ``admin``.

        Args:
            scopes: Some of ``predict``, ``fit`` (with ``read``), ``read``, ``admin`` (everything).
            tenant: Whose calls it makes; the caller's own tenant where left out.
            name: Who or what has it.

        Raises:
            Forbidden: The caller's key has not the scope, or is not for that tenant.
            ApiError: A scope or name that there is not.
        """
        body = {"scopes": list(scopes), "name": name} | ({"tenant": tenant} if tenant else {})
        return Key.from_json(self._calls.json("POST", "/v1/keys", json=body))

    def list(self, *, tenant: str | None = None, limit: int | None = None) -> Sequence[Key]:
        """Keys without their text, newest first, revoked ones too: the operator's view is of every tenant."""
        query = {"tenant": tenant} if tenant else {}
        return [Key.from_json(k) for k in islice(pages(self._calls, "/v1/keys", **query), limit)]

    def revoke(self, key: str) -> None:
        """End a key by its id. Raises NotFound, and ApiError (409) for the last one with which keys can be managed."""
        self._calls.send("DELETE", f"/v1/keys/{segment(key_id(key))}")


def key_id(key: str) -> str:
    """The id of a key, of whose whole text no more may stand in a URL."""
    parts = key.split("_")
    return parts[1] if len(parts) == 3 and parts[0] == "graft" else key
