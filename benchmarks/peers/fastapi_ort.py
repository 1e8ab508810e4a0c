"""FastAPI and ONNX Runtime, one text a run, nothing batched.

    PEER_BACKBONE=... PEER_HEAD=... PEER_THREADS=1 python -m uvicorn benchmarks.peers.fastapi_ort:app --workers 2

The endpoint is a plain function, which FastAPI runs in its thread pool. As a coroutine it takes a tenth less of the
processor, but then a process accepts what connections it finds while the other computes: with 8 clients most of them
end up on one process, and the other has nothing to do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from benchmarks.peers.classifier import Classifier


class Call(BaseModel):
    """The body of a call."""

    inputs: list[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the sessions once in each process."""
    app.state.classify = Classifier.from_environment()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(call: Call, request: Request) -> Response:
    """Classify each text by itself."""
    classify: Classifier = request.app.state.classify
    answer = {"predictions": [classify([text])[0] for text in call.inputs]}
    return Response(orjson.dumps(answer), media_type="application/json")
