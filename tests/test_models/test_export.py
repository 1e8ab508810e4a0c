"""A BERT of two tiny layers stands for the real ones: same classes, same exporter, seconds instead of a minute."""

import dataclasses

import numpy as np
import pytest

from models.catalog import entry
from models.errors import ExportFailed, ExportMismatch
from models.export import check_parity, export_text, largest_difference, write_tokenizer
from models.session import open_session
from models.weights import sha256_file


def no_progress(_stage, _share):
    pass


def test_largest_difference_is_of_one_number():
    assert largest_difference(np.zeros((2, 2), np.float32), np.float32([[0, 0.5], [-0.75, 0]])) == 0.75


@pytest.mark.parametrize("seen", [np.full((1, 2), np.nan, np.float32), np.zeros((2, 1), np.float32)])
def test_another_shape_or_a_nan_is_infinitely_different(seen):
    assert largest_difference(np.zeros((1, 2), np.float32), seen) == np.inf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Entry, architecture and reference of a randomly filled BERT, packaged like the real one."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from tokenizers import models as tokenizer_models
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    home = tmp_path_factory.mktemp("packages") / "tiny_bert_of_a_test"
    home.mkdir()
    (home / "__init__.py").touch()
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=50, max_position_embeddings=40, **size)
    bert = BertModel(config).eval()
    config.architectures = ["BertModel"]
    config.save_pretrained(home)
    save_file(bert.state_dict() | {"embeddings.position_ids": torch.arange(40)[None]}, home / "model.safetensors")
    tokenizer = Tokenizer(tokenizer_models.WordLevel({"[UNK]": 0, "card": 1}, unk_token="[UNK]"))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(home / "tokenizer.json"))
    e = dataclasses.replace(
        entry("minilm-l6"),
        id="tiny",
        package=home.name,
        subfolder="",
        max_tokens=32,
        weights_sha256=sha256_file(home / "model.safetensors"),
    )
    return home, e, bert


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    return export(tiny[1], tiny[0].parent, tmp_path_factory.mktemp("exported"))


def export(e, packages, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packages)
        export_text(e, folder, no_progress)
    return folder


def test_the_graph_is_the_masked_mean_of_the_encoder(tiny, exported):
    import torch

    rng = np.random.default_rng(1)
    session = open_session(exported / "pooled.onnx", threads=1)
    for rows, tokens in [(1, 1), (1, 32), (4, 7)]:
        ids = rng.integers(0, 50, (rows, tokens))
        sizes = rng.integers(1, tokens + 1, rows)
        mask = (np.arange(tokens) < sizes[:, None]).astype(np.int64)
        for row in range(rows):
            with torch.inference_mode():
                alone = torch.from_numpy(ids[row : row + 1, : sizes[row]])
                expected = tiny[2](alone).last_hidden_state[0].mean(0).numpy()
            [seen] = session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})
            np.testing.assert_allclose(seen[row], expected / np.linalg.norm(expected), atol=1e-5)


def test_one_file_without_traces_of_the_machine(exported):
    import onnx

    assert {path.name for path in exported.iterdir()} == {"pooled.onnx", "tokenizer.json"}
    content = (exported / "pooled.onnx").read_bytes()
    assert b"stack_trace" not in content
    assert b".py" not in content
    graph = onnx.load_from_string(content).graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask"]
    assert [value.name for value in graph.output] == ["sentence_embedding"]


@pytest.mark.slow
def test_the_same_weights_give_the_same_bytes(tiny, exported, tmp_path):
    again = export(tiny[1], tiny[0].parent, tmp_path)
    for name in ("pooled.onnx", "tokenizer.json"):
        assert (again / name).read_bytes() == (exported / name).read_bytes()


def test_the_tokenizer_cuts_at_the_entry_and_never_pads(tiny, tmp_path):
    from tokenizers import Tokenizer

    write_tokenizer(tiny[0] / "tokenizer.json", tmp_path / "tokenizer.json", 32)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.padding is None
    assert tokenizer.truncation["max_length"] == 32


def test_the_graph_of_its_own_weights_passes_and_that_of_others_does_not(tiny, exported):
    import torch
    from transformers import BertModel

    _, e, bert = tiny
    assert 0 < check_parity(bert, exported / "pooled.onnx", e.max_tokens) < 1e-5
    torch.manual_seed(1)
    with pytest.raises(ExportMismatch, match="differs from torch"):
        check_parity(BertModel(bert.config), exported / "pooled.onnx", e.max_tokens)


def test_weights_of_another_architecture_are_refused(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    home, e, _ = tiny
    weights = load_file(home / "model.safetensors")
    del weights["embeddings.word_embeddings.weight"]
    other = tmp_path / "other" / "model.safetensors"
    other.parent.mkdir()
    save_file(weights, other)
    (other.parent / "config.json").write_text((home / "config.json").read_text())
    (other.parent / "__init__.py").touch()
    broken = dataclasses.replace(e, package="other", weights_sha256=sha256_file(other))
    with pytest.raises(ExportFailed, match=r"word_embeddings"):
        export(broken, tmp_path, tmp_path)
