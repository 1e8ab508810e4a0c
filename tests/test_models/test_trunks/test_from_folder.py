"""Folders that cannot become a backbone, and what is read from those that can. No test here exports a network."""

import json
from dataclasses import replace

import numpy as np
import pytest

from models.catalog import Entry, Options
from models.errors import SourceRefused
from models.sources import Folder
from models.trunks.from_folder import FolderWeights, build_from_folder
from models.trunks.network import check_filled, check_runs, tap_module
from models.trunks.sentence_transformers import sentence_use
from models.trunks.text import text_cases, text_network
from models.trunks.tokenizer_file import write_tokenizer
from models.trunks.torchvision_ops import complete
from models.trunks.transformers_network import load_transformers

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
ENTRY = Entry("tiny", "text", "Apache-2.0", "", Folder(""))
BERT_PARTS = "embeddings.word_embeddings.weight"


def no_progress(_stage, _share):
    pass


def save(network, folder):
    network.save_pretrained(folder)
    return folder


def tokenizer(folder, words=("[UNK]", "card", "lost")):
    from tokenizers import Tokenizer, models

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.enable_padding(length=128)
    made.enable_truncation(128)
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def bert(tmp_path):
    complete()
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    network = BertModel(BertConfig(vocab_size=20, max_position_embeddings=24, **TINY)).eval()
    return tokenizer(save(network, tmp_path))


def change_weights(folder, change):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def build(folder, entry=ENTRY, staging=None, **weights):
    staging = staging or folder / "staging"
    staging.mkdir(exist_ok=True)
    return build_from_folder(entry, FolderWeights(folder, **weights), staging, no_progress)


def with_options(**options):
    return replace(ENTRY, options=Options(**options))


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(SourceRefused, match=r"has no config\.json"):
        build(tmp_path)


def test_a_configuration_that_is_no_json_is_refused(bert):
    (bert / "config.json").write_text("{")
    with pytest.raises(SourceRefused, match=r"config\.json is not JSON"):
        build(bert)


def test_an_architecture_that_transformers_lacks_is_refused(bert):
    change_config(bert, model_type="mine", auto_map={"AutoModel": "code.Mine"})
    (bert / "code.py").write_text(f"open({str(bert / 'ran')!r}, 'w')")
    with pytest.raises(SourceRefused, match=r"'mine', which transformers .* is never run"):
        build(bert)
    assert not (bert / "ran").exists()


def test_code_that_comes_with_known_weights_is_not_run(bert):
    change_config(
        bert, auto_map={"AutoModel": "code.Mine", "AutoConfig": "code.Config"}, attn_implementation="a/kernel"
    )
    (bert / "code.py").write_text(f"open({str(bert / 'ran')!r}, 'w')")
    assert type(load_transformers(bert).model).__module__.startswith("transformers.")
    assert not (bert / "ran").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "local-dir:/etc", "use_timm_backbone": True},
        {"backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:acme/other"}},
        {"towers": [{"model_type": "timm_wrapper", "architecture": "acme/other"}]},
    ],
)
def test_a_network_that_is_looked_for_elsewhere_is_refused(bert, fields):
    change_config(bert, model_type="detr", **fields)
    with pytest.raises(SourceRefused, match=r"builds on another network, '(local-dir:/etc|(hf-hub:)?acme/other)'"):
        build(bert)


def test_quantised_weights_are_refused(bert):
    change_config(bert, quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(SourceRefused, match="quantised"):
        build(bert)


def test_an_adapter_of_peft_is_refused(bert):
    (bert / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/name"}')
    with pytest.raises(SourceRefused, match="adapter of PEFT"):
        build(bert)


def test_weights_in_pickles_only_are_refused(bert):
    (bert / "model.safetensors").rename(bert / "pytorch_model.bin")
    with pytest.raises(SourceRefused, match="must be safetensors"):
        build(bert)


def test_weights_of_another_size_are_refused(bert):
    change_config(bert, hidden_size=32)
    with pytest.raises(SourceRefused, match="do not load as bert"):
        build(bert)


def test_a_damaged_file_of_weights_is_refused(bert):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceRefused, match="do not load as bert"):
        build(bert)


def test_a_trunk_that_lacks_something_is_refused_with_its_name(bert):
    change_weights(bert, lambda weights: weights.pop(BERT_PARTS))
    with pytest.raises(SourceRefused, match=r"do not fill a bert: embeddings\.word_embeddings\.weight is missing"):
        build(bert)


def test_a_part_that_no_tap_uses_may_be_missing(bert):
    change_weights(bert, lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("pooler")])
    network = text_network(load_transformers(bert), bert, Options())
    assert set(network.missing) == {"pooler.dense.weight", "pooler.dense.bias"}
    check_filled(network, tap_module(network, "pooled"))
    by_pooler = text_network(load_transformers(bert), bert, Options(pooling="pooler"))
    with pytest.raises(SourceRefused, match=r"pooler\.dense\.bias, pooler\.dense\.weight are missing"):
        check_filled(by_pooler, tap_module(by_pooler, "pooled"))


def test_weights_of_a_larger_network_are_refused(bert):
    change_config(bert, num_hidden_layers=1)
    with pytest.raises(SourceRefused, match=r"encoder\.layer\.1\..* and 12 more are in the file"):
        build(bert)


def test_a_head_beside_the_network_and_old_constants_may_be_left_over(bert):
    import torch

    def add(weights):
        weights |= {f"bert.{name}": weights.pop(name) for name in list(weights)}
        weights["bert.embeddings.position_ids"] = torch.arange(24)[None]
        weights["classifier.weight"] = torch.zeros(2, 16)

    before = text_network(load_transformers(bert), bert, Options())
    change_weights(bert, add)
    after = text_network(load_transformers(bert), bert, Options())
    case = [torch.from_numpy(array) for array in before.inputs.cases[0]]
    with torch.inference_mode():
        torch.testing.assert_close(after.embed(*case), before.embed(*case))


@pytest.mark.parametrize("tap", ["block3", "block0", "block", "logits"])
def test_a_tap_that_is_not_there_is_refused_with_those_that_are(bert, tap):
    network = text_network(load_transformers(bert), bert, Options())
    with pytest.raises(SourceRefused, match=rf"no tap '{tap}': bert has pooled, blocks and block1 to block2"):
        tap_module(network, tap)


@pytest.mark.parametrize(
    ("modality", "sentence"),
    [("image", "bert takes input_ids, not images"), ("audio", "bert takes input_ids, not sounds")],
)
def test_weights_of_another_modality_are_refused(bert, modality, sentence):
    with pytest.raises(SourceRefused, match=sentence):
        build(bert, replace(ENTRY, modality=modality))


def test_a_tower_of_another_modality_is_refused(bert):
    with pytest.raises(SourceRefused, match="'image', not 'text'"):
        build(bert, with_options(tower="vision"))


@pytest.mark.parametrize("pooling", ["projection", "max"])
def test_a_pooling_that_is_not_there_is_refused_with_those_that_are(bert, pooling):
    with pytest.raises(SourceRefused, match="mean, cls, last, pooler"):
        build(bert, with_options(pooling=pooling))


@pytest.mark.parametrize("max_tokens", [25, 4])
def test_lengths_that_the_network_has_no_positions_for_are_refused(bert, max_tokens):
    with pytest.raises(SourceRefused, match="takes 8 to 24 tokens"):
        build(bert, with_options(max_tokens=max_tokens))


def test_a_tokenizer_with_more_tokens_than_the_network_is_refused(bert):
    tokenizer(bert, ["[UNK]", *(f"word{i}" for i in range(20))])
    with pytest.raises(SourceRefused, match="up to number 20, the network 20 of them"):
        build(bert)


def test_a_folder_without_tokenizer_is_refused(bert):
    (bert / "tokenizer.json").unlink()
    with pytest.raises(SourceRefused, match=r"neither tokenizer\.json nor a vocabulary"):
        build(bert)


def test_the_tokenizer_cuts_at_the_limit_and_never_pads(bert, tmp_path):
    from tokenizers import Tokenizer

    assert write_tokenizer(bert, tmp_path / "written.json", 32, 20) == 0
    written = Tokenizer.from_file(str(tmp_path / "written.json"))
    assert written.padding is None
    assert written.truncation["max_length"] == 32


def test_a_vocabulary_alone_is_converted(bert, tmp_path):
    from tokenizers import Tokenizer

    (bert / "tokenizer.json").unlink()
    (bert / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "card", "lost"]))
    (bert / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    assert write_tokenizer(bert, tmp_path / "written.json", 32, 20) is None
    assert Tokenizer.from_file(str(tmp_path / "written.json")).encode("lost card").ids == [2, 6, 5, 3]


def test_images_of_another_size_than_the_positions_are_refused(tmp_path):
    complete()
    from transformers import ViTConfig, ViTModel

    save(ViTModel(ViTConfig(image_size=16, patch_size=8, **TINY)), tmp_path)
    entry = replace(with_options(preprocess={"size": 24, "mean": 0, "std": 255}), modality="image")
    with pytest.raises(SourceRefused, match=r"vit does not take images of \(24, 24\)"):
        build(tmp_path, entry)


def test_images_without_preprocessing_are_refused(tmp_path):
    complete()
    from transformers import ViTConfig, ViTModel

    save(ViTModel(ViTConfig(image_size=16, patch_size=8, **TINY)), tmp_path)
    with pytest.raises(SourceRefused, match=r"no preprocessor_config\.json.*state preprocess"):
        build(tmp_path, replace(ENTRY, modality="image"))


def test_timm_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("models.trunks.timm_network.find_spec", lambda name: None)
    with pytest.raises(SourceRefused, match="Install the extra `timm`"):
        build(tmp_path, replace(ENTRY, modality="image"), timm="vgg16")


def test_an_architecture_of_timm_takes_images(tmp_path):
    with pytest.raises(SourceRefused, match="takes images, not text"):
        build(tmp_path, timm="vgg16")


@pytest.mark.parametrize("name", ["hf-hub:owner/name", "local-dir:/tmp", "no_such_net"])
def test_timm_is_given_nothing_to_fetch(tmp_path, name):
    with pytest.raises(SourceRefused, match="has no architecture"):
        build(tmp_path, replace(ENTRY, modality="image"), timm=name)


@pytest.mark.parametrize(
    "options",
    [{"pretrained": True}, {"checkpoint_path": "/etc/passwd"}, {"pretrained_cfg": {"url": "x"}}, {"act": [1]}],
)
def test_options_of_timm_are_plain_and_fetch_nothing(tmp_path, options):
    with pytest.raises(SourceRefused, match=f"The option '{next(iter(options))}'"):
        build(tmp_path, replace(ENTRY, modality="image"), timm="mobilenetv3_small_050", options=options)


def test_weights_of_another_timm_architecture_are_refused(tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"conv_stem.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(SourceRefused, match=r"do not fill mobilenetv3_small_050: .* more are missing"):
        build(tmp_path, replace(ENTRY, modality="image"), timm="mobilenetv3_small_050")


def write_use(folder, pooling, *, steps=("Transformer", "Pooling", "Normalize")):
    modules = [{"type": f"sentence_transformers.models.{step}", "path": f"1_{step}"} for step in steps]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize(
    ("pooling", "word"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_the_pooling_of_sentence_transformers_is_read(tmp_path, pooling, word):
    write_use(tmp_path, pooling)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 77}')
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    use = sentence_use(tmp_path, pooled=False)
    assert (use.pooling, use.normalise, use.max_tokens, use.prefix) == (word, True, 77, "query: ")


def test_a_pooling_that_is_not_exported_is_refused_unless_one_is_chosen(tmp_path):
    write_use(tmp_path, {"pooling_mode_max_tokens": True}, steps=("Transformer", "Pooling", "Dense"))
    with pytest.raises(SourceRefused, match="Dense, which is not exported"):
        sentence_use(tmp_path, pooled=False)
    assert sentence_use(tmp_path, pooled=True).pooling == ""


def test_modules_outside_the_folder_are_not_read(tmp_path):
    (tmp_path / "modules.json").write_text('[{"type": "a.Pooling", "path": "../../etc"}]')
    with pytest.raises(SourceRefused, match="outside its folder"):
        sentence_use(tmp_path, pooled=False)


def test_texts_are_tried_short_long_padded_and_extreme():
    cases = text_cases(20, 40)
    assert {ids.shape for ids, _ in cases} >= {(1, 1), (2, 40)}
    assert any((mask == 0).any() for _, mask in cases)
    assert [np.unique(ids).tolist() for ids, _ in cases[-3:]] == [[0], [1], [19]]
    assert max(ids.shape[1] for ids, _ in text_cases(20, 8)) == 8


def test_what_a_network_does_not_take_is_said(bert):
    network = text_network(load_transformers(bert), bert, Options())
    wrong = replace(network.inputs, cases=text_cases(20, 40)[4:])
    with pytest.raises(SourceRefused, match=r"bert does not take inputs of shape \(2, 40\)"):
        check_runs(replace(network, inputs=wrong))
