"""A class that nobody has an example of, from the call that describes it to the first answer that names it.

    python -m benchmarks.new_classes

Vectors whose classes are told by attributes, one version fitted with `eszsl`, then versions with one class more each:
POST /v1/signatures, POST /v1/adapters/{name}/versions, POST .../predict until the new version answers.
"""

import argparse
import io
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks.http_calls import HttpCalls
from benchmarks.record import Target, open_console, provenance, show_targets, write
from benchmarks.server import fresh_home, serving, stop_on_terminate

ATTRIBUTES, WIDTH, ROWS_A_CLASS = 85, 512, 20
NAME = "animals"
LIMIT_S = 0.1
ANSWER_S = 10.0


class Caller(HttpCalls):
    """A service, seen by somebody who describes classes."""

    def fit(self, content: bytes, signatures: str) -> None:
        """Upload vectors and fit `eszsl` to them."""
        file = {"file": ("animals.npz", content)}
        dataset = self._json(self._http.post("/v1/datasets", files=file))["id"]
        body = {"name": NAME, "dataset": dataset, "signatures": signatures, "method": "eszsl"}
        self._finished(self._json(self._http.post("/v1/adapters", json=body)))

    def describe(self, table: np.ndarray) -> str:
        """Classes as signatures; their id."""
        names = [f"class {row}" for row in range(len(table))]
        attributes = [f"attribute {column}" for column in range(table.shape[1])]
        body = {"classes": names, "attributes": attributes, "values": table.tolist()}
        return str(self._json(self._http.post("/v1/signatures", json=body))["id"])

    def version(self, signatures: str) -> str:
        """A version with the classes of these signatures; its reference."""
        body = {"from": 1, "signatures": signatures}
        return str(self._json(self._http.post(f"/v1/adapters/{NAME}/versions", json=body))["ref"])

    def answered_by(self, item: list[float]) -> str:
        """Which version answers an item now."""
        body = {"inputs": [{"embedding": item}], "top_k": 1}
        return str(self._json(self._http.post(f"/v1/adapters/{NAME}/predict", json=body))["adapter"])


def timed(caller: Caller, table: np.ndarray, item: list[float]) -> dict[str, float]:
    """Seconds until the signatures are stored, the version made, and the name answered by it."""
    begun = time.perf_counter()
    signatures = caller.describe(table)
    described = time.perf_counter()
    reference = caller.version(signatures)
    made = time.perf_counter()
    while caller.answered_by(item) != reference:
        if time.perf_counter() - made > ANSWER_S:
            raise SystemExit(f"{reference} does not answer.")
        time.sleep(0.002)
    served = time.perf_counter()
    return {"describe_s": described - begun, "version_s": made - described, "served_s": served - described}


def vectors(table: np.ndarray, rng: np.random.Generator) -> bytes:
    """A NumPy archive of vectors that follow from their classes' attributes."""
    labels = np.repeat([f"class {row}" for row in range(len(table))], ROWS_A_CLASS)
    z = np.repeat(table @ rng.standard_normal((table.shape[1], WIDTH)), ROWS_A_CLASS, axis=0)
    z += 3 * rng.standard_normal(z.shape)
    file = io.BytesIO()
    np.savez(file, embedding=z.astype(np.float32), label=labels)
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/new_classes.json."""
    parser = argparse.ArgumentParser(description="New classes by signature, over HTTP.")
    parser.add_argument("--classes", type=int, default=50, help="of the version that is fitted")
    parser.add_argument("--times", type=int, default=20, help="versions that are made of it")
    chosen = parser.parse_args(arguments)
    stop_on_terminate()
    made_by, console = provenance(vars(chosen)), open_console()
    rng = np.random.default_rng(0)
    table = rng.integers(0, 2, (chosen.classes + chosen.times, ATTRIBUTES)).astype(float)
    seen = table[: chosen.classes]
    with (
        fresh_home() as home,
        serving(home, settings={"GRAFT_BACKBONES": "fake"}) as service,
        closing(Caller(service.client.base_url)) as caller,
    ):
        caller.fit(vectors(seen, rng), caller.describe(seen))
        item = rng.standard_normal(WIDTH).tolist()
        runs = [timed(caller, table[: chosen.classes + more], item) for more in range(1, chosen.times + 1)]
    # The first one imports what writes ONNX.
    first, later = runs[0], runs[1:]
    medians = {name: statistics.median(run[name] for run in later) for name in first}
    aims = [Target("a new class by signature, seconds until it is served", medians["served_s"], LIMIT_S)]
    show_targets(console, aims)
    figures: dict[str, Any] = {"medians": medians, "first": first, "runs": runs}
    kept = {"targets": [aim.as_json() for aim in aims]} | figures
    console.print(f"Written to {write('new_classes', kept, made_by)}", soft_wrap=True)


if __name__ == "__main__":
    main()
