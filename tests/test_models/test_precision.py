import logging
import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper, parser

import models.precision
from models.audio.spectrogram import log_mel, sound_recipe
from models.export import Inputs, export_module
from models.precision import LOWEST_COSINE, add_half_graph, feeds_of, lowest_cosine, with_half
from models.session import GRAPH_NAME, HALF_GRAPH_NAME, open_session
from models.trunks.torchvision_ops import complete
from models.warm import sample_items
from models.weights import sha256_file

RNG = np.random.default_rng(0)


def encoder() -> torch.nn.Module:
    """A tiny BERT with mean pooling."""
    complete()
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    bert = BertModel(BertConfig(vocab_size=50, **sizes)).eval()

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            ids, mask = inputs
            hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)
            return torch.nn.functional.normalize(mean, dim=-1)

    return Pooled().eval()


def listener() -> torch.nn.Module:
    """Whisper's front-end and one convolution."""

    class Heard(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.front_end = log_mel(WHISPER)
            self.convolution = torch.nn.Conv1d(80, 16, 3)

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.gelu(self.convolution(self.front_end(inputs[0]))).mean(2)

    return Heard().eval()


WHISPER = {"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1}


def test_an_encoder_of_texts_agrees_and_is_half_as_large(tmp_path):
    ids, mask = RNG.integers(0, 50, (4, 9)), np.ones((4, 9), dtype=np.int64)
    mask[1, 3:] = 0
    inputs = Inputs(("input_ids", "attention_mask"), ("batch", "tokens"), ((ids, mask),))
    export_module(encoder(), inputs, "sentence_embedding", tmp_path / GRAPH_NAME)
    agreement = add_half_graph(tmp_path, [{"input_ids": ids, "attention_mask": mask}])
    assert agreement.kept
    assert LOWEST_COSINE < 0.9999 < agreement.lowest_cosine < 1
    assert "4 items" in agreement.sentence
    assert (tmp_path / HALF_GRAPH_NAME).stat().st_size < 0.6 * (tmp_path / GRAPH_NAME).stat().st_size


def test_spectra_survive(tmp_path):
    loud = RNG.uniform(-1, 1, (4, sound_recipe(WHISPER).fixed_samples)).astype(np.float32)
    loud[1] *= 1e-3
    loud[2, 2000:] = 0
    loud[3] = 0
    export_module(listener(), Inputs(("samples",), ("batch",), ((loud,),)), "item_embedding", tmp_path / GRAPH_NAME)
    agreement = add_half_graph(tmp_path, [{"samples": loud[:2]}, {"samples": loud[2:]}])
    assert agreement.kept
    assert agreement.lowest_cosine > 0.9999


def write_graph(path, body: str, weight: np.ndarray) -> None:
    source = f'<ir_version: 10, opset_import: ["": 20]>\ng (float[n, 4] x) => (float[n, d] y) {{ {body} }}'
    model = parser.parse_model(source)
    model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), "w"))
    onnx.save(model, path / GRAPH_NAME)


def test_a_graph_that_overflows_is_not_kept(tmp_path, caplog):
    write_graph(tmp_path, "a = MatMul(x, w) b = MatMul(a, w) c = MatMul(b, w) y = Tanh(c)", np.full((4, 4), 60.0))
    with caplog.at_level(logging.WARNING):
        agreement = add_half_graph(tmp_path, [{"x": np.full((2, 4), 20, dtype=np.float32)}])
    assert agreement.kept
    write_graph(tmp_path, "a = MatMul(x, w) b = MatMul(a, w) y = MatMul(b, w)", np.full((4, 4), 60.0))
    with caplog.at_level(logging.WARNING):
        agreement = add_half_graph(tmp_path, [{"x": np.ones((2, 4), dtype=np.float32)}])
    assert not agreement.kept
    assert agreement.lowest_cosine == 0
    assert not (tmp_path / HALF_GRAPH_NAME).exists()
    assert [record.reason for record in caplog.records] == [agreement.sentence]
    assert "float32 is used" in agreement.sentence


def test_one_item_that_differs_is_enough(tmp_path):
    cancelling = np.array([[1, 0], [-1, 1e-3], [0, 0], [0, 0]])
    write_graph(tmp_path, "y = MatMul(x, w)", cancelling)
    x = np.array([[1, 0, 0, 0], [1.0004, 1, 0, 0]], dtype=np.float32)
    assert add_half_graph(tmp_path, [{"x": x[:1]}]).kept
    assert not add_half_graph(tmp_path, [{"x": x[:1]}, {"x": x[1:]}]).kept
    assert not (tmp_path / HALF_GRAPH_NAME).exists()


def test_a_file_that_is_no_graph_is_a_sentence(tmp_path):
    (tmp_path / GRAPH_NAME).write_bytes(b"no graph")
    agreement = add_half_graph(tmp_path, [{"x": np.ones((1, 4), dtype=np.float32)}])
    assert not agreement.kept
    assert agreement.sentence.startswith("float16 is not used: ")


def test_nothing_to_compare_on_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one item"):
        add_half_graph(tmp_path, [])


def test_agreement_of_rows():
    a = np.array([[3.0, 4.0], [1.0, 0.0]], dtype=np.float32)
    assert lowest_cosine(a, a) == 1
    assert lowest_cosine(a * 0, a * 0) == 1
    assert np.isclose(lowest_cosine(a, a[:, ::-1]), 0)
    assert lowest_cosine(a, a * 1.1) < LOWEST_COSINE < lowest_cosine(a, a * 1.01)
    assert lowest_cosine(a, a * np.nan) == 0
    assert lowest_cosine(a, a[:1]) == 0


def test_feeds_are_what_the_backbone_runs(fake, hosted_folder, fake_card):
    texts = ["one", "another, which is longer", ""]
    session = open_session(hosted_folder / fake_card.digest / GRAPH_NAME, threads=1)
    rows = [session.run(None, feed)[0][0] for feed in feeds_of(fake, texts)]
    assert np.abs(np.stack(rows) - fake.run(fake.prepare(texts))).max() < 1e-6
    assert len(feeds_of(fake, [sample_items("text")[0]])) == 1


def test_a_backbone_is_hosted_with_float16_only_where_a_gpu_would_use_it(fake, hosted_folder, tmp_path, monkeypatch):
    shutil.copy(hosted_folder / fake.card.digest / GRAPH_NAME, tmp_path)
    monkeypatch.setattr(models.precision, "why_provider", lambda: ("cpu", "no GPU here"))
    assert with_half(fake, tmp_path, ["one"]) == fake.card
    assert not (tmp_path / HALF_GRAPH_NAME).exists()
    monkeypatch.setattr(models.precision, "why_provider", lambda: ("cuda", "a GPU"))
    card = with_half(fake, tmp_path, ["one", "two"])
    assert card.digest == fake.card.digest
    assert card.extras == {HALF_GRAPH_NAME: sha256_file(tmp_path / HALF_GRAPH_NAME)}
