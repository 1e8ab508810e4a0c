"""Files with stub answers, for the modules between a file's rows and its answer."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.columns import infer
from service.serving.directory import Served
from service.serving.facts import Facts
from service.serving.files import FileOptions, OpenFile, answered, open_file
from service.serving.prediction import Answers
from service.uploads.limits import Limits


class StubPredictor:
    """Answers a text by itself in capitals, a row by its own `x`, a vector by its sum; `calls` holds what was asked."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.errors: list[Exception | None] = []
        self.warnings: list[dict[str, Any]] = []

    async def answer(self, served: Served, inputs: list[Any], top_k: int, long: str | None) -> Answers:
        self.calls.append(list(inputs))
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return Answers([self._one(served, given, top_k) for given in inputs], self.warnings)

    async def answer_vectors(self, served: Served, z: Any, top_k: int) -> Answers:
        self.calls.append(z.tolist())
        return Answers([self._one(served, str(row.sum()), top_k) for row in z], [])

    def _one(self, served: Served, given: Any, top_k: int) -> dict[str, Any]:
        if not served.facts.classes:
            return {"value": 1.5}
        label = given.upper() if isinstance(given, str) else str(given.get("x"))
        return {"label": label, "probability": 0.75, "top": [[label, 0.75], ["-other", 0.25]][:top_k]}


class Files:
    """Opens files for an adapter, and reads their answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.predictor = StubPredictor()
        self.served = self.adapter()
        self.rows = 0

    def adapter(self, modality: str = "text", classes: tuple[str, ...] = ("a", "b"), **cells: list[Any]) -> Served:
        """Choose the adapter that answers."""
        schema = tuple(infer(cells)[0]) if cells else ()
        task = "classification" if classes else "regression"
        facts = Facts("it", 3, "affine", modality, task, "", "", 2, classes, True, schema, "truncate", "h" * 64)
        self.served = Served(facts, None)  # type: ignore[arg-type]
        return self.served

    def open(
        self, data: bytes | str, filename: str = "a.csv", limits: Limits | None = None, **options: Any
    ) -> OpenFile:
        path = self.folder / "given"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        chosen = FileOptions(**options)
        return open_file(path, filename, limits or Limits(), self.served.facts, chosen, clean=self.folder / "clean")

    async def pieces(self, file: OpenFile, **options: Any) -> AsyncIterator[bytes]:
        def count(rows: int) -> None:
            self.rows += rows

        async for piece in answered(file, self.predictor, self.served, FileOptions(**options), count):
            yield piece

    async def answer(
        self, data: bytes | str, filename: str = "a.csv", limits: Limits | None = None, **options: Any
    ) -> bytes:
        """The whole answer to a file."""
        file = self.open(data, filename, limits, **options)
        return b"".join([piece async for piece in self.pieces(file, **options)])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
