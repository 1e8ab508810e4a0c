"""A tiny network whose blocks can be trained, and tasks on its items: what `models.tuning.Tuning` asks for."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from adapters.base import Task
from models.base import Card
from models.export import Inputs, check_parity, export_module

WIDTH = 16
VOCABULARY = 24
DEPTH = 4


class Attention(torch.nn.Module):
    """One head, with the names that BERT gives."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.output = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x, mask):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / WIDTH**0.5
        scores = scores + (1 - mask[:, None, :].to(x.dtype)) * -1e4
        return self.output(scores.softmax(-1) @ self.value(x))


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.inner, self.outer = torch.nn.Linear(WIDTH, 2 * WIDTH), torch.nn.Linear(2 * WIDTH, WIDTH)
        self.norm = torch.nn.LayerNorm(WIDTH)

    def forward(self, x, mask):
        x = x + self.attention(x, mask)
        return self.norm(x + self.outer(torch.nn.functional.gelu(self.inner(x))))


class Network(torch.nn.Module):
    """Token ids and mask in, the mean of the last states out."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.layer = torch.nn.ModuleList(Block() for _ in range(DEPTH))

    def forward(self, ids, mask):
        return mean(run(self.layer, self.embedding(ids), mask), mask)


class Tail(torch.nn.Module):
    """The last blocks, which keep their numbers."""

    def __init__(self, network, k):
        super().__init__()
        self.blocks = torch.nn.ModuleDict({str(i): network.layer[i] for i in range(DEPTH - k, DEPTH)})

    def forward(self, states, mask):
        return mean(run(self.blocks.values(), states, mask), mask)


class Whole(torch.nn.Module):
    """All of it; its blocks have two names."""

    def __init__(self, network):
        super().__init__()
        self.blocks, self.network = network.layer, network

    def forward(self, ids, mask):
        return self.network(ids, mask)


def run(blocks, x, mask):
    for block in blocks:
        x = block(x, mask)
    return x


def mean(x, mask):
    weight = mask[:, :, None].to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1)


def pretrained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network().eval()


@dataclass
class TinyTuning:
    """Sequences of tokens of unlike length.

    Attributes:
        items: Token ids of each.
        brought: What `bring` was called with.
    """

    items: list
    brought: list = field(default_factory=list)
    depth: int = DEPTH

    @property
    def card(self):
        return Card("tiny", "text", "0" * 64, {"pooled": (WIDTH,)}, "none", "made here", None, {}, {})

    @property
    def block_weights(self):
        return sum(p.numel() for p in Block().parameters())

    def __len__(self):
        return len(self.items)

    def tap(self, k):
        return "input" if k is None else f"block{self.depth - k}"

    def module(self, k):
        network = pretrained()
        return (Whole(network) if k is None else Tail(network, k)).eval()

    def bring(self, k, *, on_progress, check):
        check()
        self.brought.append(k)
        on_progress(1.0)

    def sizes(self):
        return np.array([len(item) for item in self.items])

    def batch(self, k, at):
        longest = max(len(self.items[i]) for i in at)
        ids, mask = np.zeros((len(at), longest), np.int64), np.zeros((len(at), longest), np.int64)
        for row, i in enumerate(at):
            ids[row, : len(self.items[i])], mask[row, : len(self.items[i])] = self.items[i], 1
        if k is None:
            return {"input_ids": ids, "attention_mask": mask}
        network = pretrained()
        with torch.inference_mode():
            x, m = network.embedding(torch.from_numpy(ids)), torch.from_numpy(mask)
            states = run(network.layer[: self.depth - k], x, m).numpy()
        return {"hidden_states": states, "attention_mask": mask}

    def export(self, scores, k):
        names = tuple(self.batch(k, [0, 1]))
        cases = tuple(tuple(self.batch(k, at).values()) for at in ([0, 1], [2], range(len(self))))
        inputs = Inputs(names, ("batch", "tokens"), cases)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "scores.onnx"
            export_module(scores, inputs, "raw_scores", path)
            check_parity(scores, inputs, "raw_scores", path)
            return path.read_bytes()


def make_items(labels, seed=0, length=(6, 12), noise=0.3):
    """Sequences in which most tokens are of the item's class."""
    rng = np.random.default_rng(seed)
    items = []
    for label in labels:
        size = rng.integers(*length)
        own = 4 * int(label) + rng.integers(0, 4, size)
        items.append(np.where(rng.random(size) < noise, rng.integers(0, VOCABULARY, size), own).astype(np.int64))
    return items


def make_tuning_task(counts=(12, 12, 12, 12), seed=0, kind="classification", check=lambda: None, **fields):
    """A task on tiny items, with their pooled embeddings.

    Args:
        counts: Rows of each class, at most 6 of them; of numbers and of several labels, only their sum counts.
        seed: Of the items.
        kind: As `TaskKind` names them.
        check: See `Task`.
        fields: Any others of `Task`.
    """
    hidden = np.repeat(np.arange(len(counts)), counts)
    items = make_items(hidden, seed)
    tuning = TinyTuning(items)
    with torch.inference_mode():
        rows = [torch.from_numpy(array) for array in tuning.batch(None, range(len(items))).values()]
        z = pretrained()(*rows).numpy()
    classes = tuple(f"class {c}" for c in "zyxwvuts"[: len(counts)])
    y = hidden
    if kind == "regression":
        y, classes = 500 + 20 * np.array([np.mean(item < 8) for item in items]), ()
    elif kind == "multilabel":
        y = np.stack([hidden >= c for c in range(len(counts))], axis=1)
    at = np.arange(len(items))
    return Task(z, y, classes, at.copy(), seed=3, check=check, tuning=tuning, at=at, **fields)
