"""Static word vectors (word2vec, GloVe) as a text backbone: the mean of a text's known words.

    text -> words and punctuation -> ids -> rows of the table -> mean over known words -> L2 norm -> sentence_embedding

Words that the file lacks are left out of the mean; a text of none but such words gets the zero vector.
Source: Mikolov et al., NeurIPS 2013; Pennington et al., GloVe, EMNLP 2014.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from models.catalog import Entry
from models.errors import ExportMismatch
from models.export import OPSET, Exported, Progress, write_graph_file
from models.session import open_session
from models.sources import Words
from models.text import GRAPH_NAME, INPUTS, OUTPUT, TOKENIZER_NAME
from models.word_vectors.files import Table, WordVectors, read_word_vectors

if TYPE_CHECKING:
    import onnx
    from tokenizers import Tokenizer

MAX_TOKENS: Final = 512
_UNKNOWN: Final = "\0"
"""Stands for every word that the file lacks; its row is zero and does not count. No file has it as a word."""

_TOLERANCE: Final = 1e-5

_MEAN = """
  unknown = Constant <value_int = 0> ()
  last = Constant <value_ints = [-1]> ()
  tokens = Constant <value_ints = [1]> ()
  one = Constant <value_float = 1.0> ()
  rows = Gather (table, input_ids)
  is_unknown = Equal (input_ids, unknown)
  is_known = Not (is_unknown)
  known = Cast <to = 1> (is_known)
  real = Cast <to = 1> (attention_mask)
  weight = Mul (known, real)
  weights = Unsqueeze (weight, last)
  weighted = Mul (rows, weights)
  total = ReduceSum <keepdims = 0> (weighted, tokens)
  count = ReduceSum (weight, tokens)
  counted = Max (count, one)
"""
_NORMALISED = """
  mean = Div (total, counted)
  norm = ReduceL2 (mean, last)
  tiny = Constant <value_float = 1e-12> ()
  length = Max (norm, tiny)
  sentence_embedding = Div (mean, length)
"""
_PLAIN = """
  sentence_embedding = Div (total, counted)
"""


def export_words(entry: Entry, source: Words, staging: Path, on_progress: Progress) -> Exported:
    """Write ``pooled.onnx`` and ``tokenizer.json`` of a file of word vectors into a folder.

    Args:
        entry: Its options say whether embeddings are normalised (they are, unless it says no) and how long a text is.
        source: The file.
        staging: An existing, empty folder.
        on_progress: Called with the stage and the share done in [0, 1].

    Raises:
        SourceRefused: The file cannot be read as what it is said to be.
        ExportMismatch: The graph does not compute the mean.
    """
    vectors = read_word_vectors(Path(source.path), source.format, lambda share: on_progress("convert", 0.6 * share))
    normalise = entry.options.normalise is not False
    max_tokens = entry.options.max_tokens or MAX_TOKENS
    lower = all(word == word.lower() for word in vectors.words)
    table = np.concatenate([np.zeros((1, vectors.table.shape[1]), dtype=np.float32), vectors.table])
    write_graph_file(_graph(table, normalise=normalise), staging / GRAPH_NAME)
    tokenizer = _tokenizer(vectors.words, lower=lower, max_tokens=max_tokens)
    (staging / TOKENIZER_NAME).write_text(tokenizer.to_str(), encoding="utf-8")
    on_progress("verify", 0.9)
    _verify(staging / GRAPH_NAME, table, normalise=normalise)
    return Exported({"pooled": (table.shape[1],)}, _recipe(vectors, source, lower, normalise, max_tokens), max_tokens)


def _tokenizer(words: Sequence[str], *, lower: bool, max_tokens: int) -> "Tokenizer":
    """Whole words and runs of punctuation; lower case where the file has no other."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {_UNKNOWN: 0, **{word: row for row, word in enumerate(words, start=1)}}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=_UNKNOWN))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    # Even the empty text has one token, so that a batch has a width.
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{_UNKNOWN} $A", special_tokens=[(_UNKNOWN, 0)])
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _graph(table: Table, *, normalise: bool) -> "onnx.ModelProto":
    from onnx import numpy_helper, parser

    head = (
        f'<ir_version: 10, opset_import: ["": {OPSET}]>\n'
        f"words (int64[batch, tokens] input_ids, int64[batch, tokens] attention_mask)"
        f" => (float[batch, {table.shape[1]}] sentence_embedding)\n"
    )
    graph = parser.parse_model(f"{head}{{{_MEAN}{_NORMALISED if normalise else _PLAIN}}}")
    graph.graph.initializer.append(numpy_helper.from_array(table, "table"))
    return graph


def _verify(path: Path, table: Table, *, normalise: bool) -> None:
    """Compare the graph with numpy on random texts, padded, and one of unknown words.

    Raises:
        ExportMismatch: They differ.
    """
    rng = np.random.default_rng(0)
    ids = rng.integers(0, len(table), (4, 7))
    ids[3] = 0
    mask = (np.arange(7) < np.array([7, 3, 1, 5])[:, None]).astype(np.int64)
    weights = ((ids != 0) & (mask == 1)).astype(np.float32)
    expected = (table[ids] * weights[..., None]).sum(1) / np.maximum(weights.sum(1, keepdims=True), 1)
    if normalise:
        expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    seen = open_session(path, threads=1).run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
    difference = float(np.abs(seen - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= _TOLERANCE:
        raise ExportMismatch(f"The graph of the mean differs from numpy by {difference:.1e}; at most 1e-5 is kept.")


def _recipe(vectors: WordVectors, source: Words, lower: bool, normalise: bool, max_tokens: int) -> dict[str, object]:
    return {
        "tokenizer": TOKENIZER_NAME,
        "truncation": max_tokens,
        "case": "lower" if lower else "as in the text",
        "pooling": "mean over known words",
        "normalisation": "L2" if normalise else "none",
        "precision": "float32",
        "opset": OPSET,
        "exporter": "onnx.helper",
        "format": source.format,
        "words": len(vectors.words),
        "words_left_out": vectors.left_out,
    }
