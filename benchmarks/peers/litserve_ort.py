"""LitServe and ONNX Runtime, with LitServe's own batching; LitServe is not among this project's packages.

    PEER_BACKBONE=... PEER_HEAD=... PEER_THREADS=1 PEER_PROCESSES=2 PEER_PORT=...
    python -m benchmarks.peers.litserve_ort

A batch takes what waits, at most 4, and does not wait for more: what was fastest here. Larger batches pad more, and a
window of 10 ms makes it slower at every number of clients.
"""

import os
from typing import Any

import litserve  # type: ignore[import-not-found]

from benchmarks.peers.classifier import Classifier

BATCH = 4


class Api(litserve.LitAPI):  # type: ignore[misc]  # untyped where LitServe is not installed
    """LitServe's four steps."""

    def setup(self, device: str) -> None:
        """Open the sessions once in each process."""
        del device
        self._classify = Classifier.from_environment()

    def decode_request(self, request: dict[str, list[str]]) -> str:
        """The one text of a call."""
        return request["inputs"][0]

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        """Classify a batch."""
        return self._classify(texts)

    def encode_response(self, answer: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """The answer to one call."""
        return {"predictions": [answer]}


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["PEER_PROCESSES"]))
    port = int(os.environ["PEER_PORT"])
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
