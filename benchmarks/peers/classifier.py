"""What every peer runs: the exported backbone and the adapter's own head file, through plain ONNX Runtime.

PEER_BACKBONE   folder with tokenizer.json and pooled.onnx
PEER_HEAD       an adapter's head.onnx
PEER_THREADS    threads of the backbone's session
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

TOP = 3
DIGITS = 7


class Classifier:
    """Texts in, answers out: the numbers that the service computes. Thread-safe."""

    def __init__(self, backbone: Path, head: Path, threads: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(backbone / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._backbone = open_session(backbone / "pooled.onnx", threads)
        self._head = open_session(head, 1)
        self._classes = classes_of(self._head)

    @classmethod
    def from_environment(cls) -> "Classifier":
        """As the variables above say."""
        env = os.environ
        return cls(Path(env["PEER_BACKBONE"]), Path(env["PEER_HEAD"]), int(env["PEER_THREADS"]))

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One run of the session, padded to the longest text."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        ids = np.array([one.ids for one in encodings], dtype=np.int64)
        mask = np.array([one.attention_mask for one in encodings], dtype=np.int64)
        z = self._backbone.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        return [answer(self._classes, row) for row in self._head.run(["probabilities"], {"embedding": z})[0]]


def answer(classes: Sequence[str], row: npt.NDArray[np.float32]) -> dict[str, Any]:
    """One prediction as it goes over the wire, from the (k,) probabilities of the classes."""
    order = np.argsort(-row)[:TOP].tolist()
    top = [[classes[i], round(float(row[i]), DIGITS)] for i in order]
    return {"label": top[0][0], "probability": top[0][1], "top": top}


def classes_of(head: ort.InferenceSession) -> list[str]:
    """The classes of an adapter's head, in the order of its probabilities."""
    classes: list[str] = json.loads(head.get_modelmeta().custom_metadata_map["classes"])
    return classes


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """A session on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait halve the rate where the load generator needs the cores as well.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
