"""A tiny text backbone for tests: real tokenizer, real graph, no weights, built in a tenth of a second.

    bytes b_1..b_t -> hash of every (b_i, b_i+1) and (b_i, b_i+1, b_i+2) -> a row of signs each -> sum -> L2 norm

Texts that share words or word stems share byte n-grams, so their embeddings are close and heads can learn from them.
The graph has the inputs, output and properties of a real one.
Source: hashed n-grams as in Bojanowski et al., TACL 5, 2017.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.catalog import Entry
from models.export import OPSET, Exported, write_graph_file
from models.text import GRAPH_NAME, TOKENIZER_NAME

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx
    from tokenizers import Tokenizer

WIDTH = 64
MAX_TOKENS = 64
ROWS = 4093
"""Rows of the table (a prime, so that the hash spreads); unlike n-grams meet in one row once in about 4,000."""

_SEED = 20
_SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]")

# Sums of signs are exact in float32, so a row cannot depend on its neighbours or on padding at all. Padding lies at the
# end, so an n-gram is real when its last byte is.
_SOURCE = f"""
<ir_version: 10, opset_import: ["": {OPSET}]>
fake (int64[batch, tokens] input_ids, int64[batch, tokens] attention_mask) => (float[batch, {WIDTH}] sentence_embedding)
{{
  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
  two = Constant <value_ints = [2]> ()
  minus_one = Constant <value_ints = [-1]> ()
  end = Constant <value_ints = [{2**31}]> ()
  rows = Constant <value_int = {ROWS}> ()
  p = Constant <value_int = 40503> ()
  q = Constant <value_int = 30011> ()

  left = Slice (input_ids, zero, minus_one, one)
  right = Slice (input_ids, one, end, one)
  left_p = Mul (left, p)
  bigram = Add (left_p, right)
  bigram_row = Mod (bigram, rows)
  bigram_signs = Gather (table, bigram_row)
  bigram_mask = Slice (attention_mask, one, end, one)
  bigram_real = Cast <to = 1> (bigram_mask)
  bigram_weight = Unsqueeze (bigram_real, two)
  bigram_kept = Mul (bigram_signs, bigram_weight)
  bigram_sum = ReduceSum <keepdims = 0> (bigram_kept, one)

  head = Slice (bigram, zero, minus_one, one)
  last = Slice (input_ids, two, end, one)
  head_q = Mul (head, q)
  trigram = Add (head_q, last)
  trigram_row = Mod (trigram, rows)
  trigram_signs = Gather (table, trigram_row)
  trigram_mask = Slice (attention_mask, two, end, one)
  trigram_real = Cast <to = 1> (trigram_mask)
  trigram_weight = Unsqueeze (trigram_real, two)
  trigram_kept = Mul (trigram_signs, trigram_weight)
  trigram_sum = ReduceSum <keepdims = 0> (trigram_kept, one)

  total = Add (bigram_sum, trigram_sum)
  sentence_embedding = LpNormalization <axis = -1, p = 2> (total)
}}
"""


def export_fake(entry: Entry, folder: Path, on_progress: Callable[[str, float], None]) -> Exported:
    """Write ``pooled.onnx`` and ``tokenizer.json`` of the fake backbone into a folder: the same bytes every time."""
    on_progress("export", 0.2)
    write_graph_file(_graph(), folder / GRAPH_NAME)
    (folder / TOKENIZER_NAME).write_text(_tokenizer(entry.options.max_tokens or MAX_TOKENS).to_str(), encoding="utf-8")
    recipe = {
        "tokenizer": TOKENIZER_NAME,
        "truncation": entry.options.max_tokens or MAX_TOKENS,
        "pooling": "sum over hashed byte bigrams and trigrams",
        "normalisation": "L2",
        "precision": "float32",
        "opset": OPSET,
        "exporter": "onnx.helper",
    }
    return Exported({"pooled": (WIDTH,)}, recipe, entry.options.max_tokens or MAX_TOKENS)


def _tokenizer(max_tokens: int) -> "Tokenizer":
    """Lower case, one token a byte, ``[CLS]`` and ``[SEP]`` around: even the empty text has a bigram."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*_SPECIAL_TOKENS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _table() -> "npt.NDArray[np.float32]":
    """(ROWS, WIDTH) random signs. The legacy generator: its stream is the same in every version of numpy."""
    signs = np.random.RandomState(_SEED).randint(0, 2, (ROWS, WIDTH))
    return (2 * signs - 1).astype(np.float32)


def _graph() -> "onnx.ModelProto":
    from onnx import numpy_helper, parser

    graph = parser.parse_model(_SOURCE)
    graph.graph.initializer.append(numpy_helper.from_array(_table(), "table"))
    return graph
