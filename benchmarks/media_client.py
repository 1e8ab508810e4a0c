"""The calls of the media benchmark, made as any caller of the HTTP interface would make them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.http_calls import HttpCalls
from benchmarks.media_data import Labelled, Media, image_folder

CALL = 64
"""Files a prediction call."""


@dataclass(frozen=True)
class Fitted:
    """A published version: its reference, and seconds by stage."""

    ref: str
    seconds: dict[str, float]


class MediaClient(HttpCalls):
    """A service, seen by a caller with images or sounds."""

    def upload(self, media: Media, items: Sequence[Labelled]) -> str:
        """Upload labelled files; the dataset's id."""
        files = {"file": (f"{media.name}.zip", image_folder(items, media.suffix), "application/zip")}
        return str(self._json(self._http.post("/v1/datasets", files=files))["id"])

    def fit(self, media: Media, items: Sequence[Labelled], backbone: str, method: str = "logistic") -> Fitted:
        """Upload and fit."""
        body = {
            "name": f"{media.name}-{backbone}",
            "dataset": self.upload(media, items),
            "backbone": backbone,
            "method": method,
            "promote": "always",
        }
        job = self._json(self._http.post("/v1/adapters", json=body))
        done = self._finished(job)
        return Fitted(f"{body['name']}:{done['version']}", done["seconds"])

    def predict(self, ref: str, media: Media, files: Sequence[bytes]) -> list[dict[str, Any]]:
        """One answer a file."""
        answers: list[dict[str, Any]] = []
        for start in range(0, len(files), CALL):
            inputs = [{media.field: base64.b64encode(data).decode()} for data in files[start : start + CALL]]
            body = {"inputs": inputs, "top_k": 1_000}
            answers += self._json(self._http.post(f"/v1/adapters/{ref}/predict", json=body))["predictions"]
        return answers

    def rank(self, dataset: str, backbones: Sequence[str]) -> tuple[dict[str, Any], float]:
        """The table of backbones for a dataset, and the seconds that its job ran."""
        body = {"dataset": dataset, "backbones": list(backbones)}
        job = self._finished(self._json(self._http.post("/v1/backbones:rank", json=body)))
        began, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
        return job["result"], (ended - began).total_seconds()
