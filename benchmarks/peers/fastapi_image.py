"""FastAPI, Pillow and ONNX Runtime, one image a run, nothing batched.

    PEER_BACKBONE=... PEER_HEAD=... PEER_THREADS=1 python -m uvicorn benchmarks.peers.fastapi_image:app --workers 2

The endpoint is a plain function, which FastAPI runs in its thread pool.
"""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from benchmarks.peers.classifier import answer, classes_of, open_session
from models.hosted import read_card
from models.images.pixels import PixelRecipe, open_image, pixels_of


class Image(BaseModel):
    """One input."""

    image: str


class Call(BaseModel):
    """The body of a call."""

    inputs: list[Image]


class Classifier:
    """Images in, answers out: the numbers that the service computes. Thread-safe."""

    def __init__(self, backbone: Path, head: Path, threads: int) -> None:
        self._recipe = PixelRecipe.from_dict(read_card(backbone).recipe["pixels"])
        self._backbone = open_session(backbone / "pooled.onnx", threads)
        self._head = open_session(head, 1)
        self._classes = classes_of(self._head)

    def __call__(self, image: str) -> dict[str, Any]:
        """One run of the session."""
        pixels = pixels_of(open_image(base64.b64decode(image)), self._recipe)[np.newaxis]
        z = self._backbone.run(["item_embedding"], {"pixels": pixels})[0]
        row = self._head.run(["probabilities"], {"embedding": z})[0][0]
        return answer(self._classes, row)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the sessions once in each process."""
    env = os.environ
    app.state.classify = Classifier(Path(env["PEER_BACKBONE"]), Path(env["PEER_HEAD"]), int(env["PEER_THREADS"]))
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(call: Call, request: Request) -> Response:
    """Classify each image by itself."""
    classify: Classifier = request.app.state.classify
    answer = {"predictions": [classify(one.image) for one in call.inputs]}
    return Response(orjson.dumps(answer), media_type="application/json")
