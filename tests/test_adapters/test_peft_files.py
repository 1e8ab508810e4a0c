"""With PEFT itself as the judge."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from adapters.errors import ParameterInvalid
from adapters.low_rank import Tables, attach, chosen, fresh, layers_of
from adapters.peft_files import CONFIG_NAME, TABLES_NAME, from_peft, to_peft
from models.trunks.torchvision_ops import complete

FOREIGN = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks transformers


@pytest.fixture(scope="module")
def peft():
    complete()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library that is only asked here
        import peft
    return peft


def bert():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
    return BertModel(config).eval(), {"input_ids": torch.arange(12).reshape(2, 6)}


def vit():
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=8
    )
    return ViTModel(config).eval(), {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 256).reshape(2, 3, 16, 16)}


NETWORKS = {"bert": bert, "vit": vit}


def states(model, inputs):
    with torch.inference_mode():
        return model(**inputs).last_hidden_state.numpy()


def make_tables(model, targets="qv", rank=3, alpha=5.0):
    layers = layers_of(model)
    tables, rng = fresh(layers, chosen(layers, targets, "x"), rank, alpha, seed=0), np.random.default_rng(1)
    b = {path: rng.standard_normal(table.shape).astype(np.float32) for path, table in tables.b.items()}
    return Tables(rank, alpha, tables.a, b)


def write(folder, files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@FOREIGN
@pytest.mark.parametrize("targets", ["qv", "all"])
@pytest.mark.parametrize("network", NETWORKS)
def test_peft_loads_what_is_written(peft, tmp_path, network, targets):
    (model, inputs), (other, _) = NETWORKS[network](), NETWORKS[network]()
    tables = make_tables(model, targets)
    plain = states(model, inputs)
    ours = states(attach(model, tables), inputs)
    folder = write(tmp_path, to_peft(tables, "somebody/network"))
    theirs = states(peft.PeftModel.from_pretrained(other, folder).eval(), inputs)
    assert np.abs(ours - plain).max() > 0.05
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


@FOREIGN
@pytest.mark.parametrize("network", NETWORKS)
def test_what_peft_writes_is_read(peft, tmp_path, network):
    (model, inputs), (other, _) = NETWORKS[network](), NETWORKS[network]()
    config = peft.LoraConfig(r=4, lora_alpha=7, target_modules=r".*\.(query|value|q_proj|v_proj)")
    changed = peft.get_peft_model(other, config).eval()
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(3))
    changed.save_pretrained(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tables = from_peft(files, layers_of(model))
    assert (tables.rank, tables.alpha, len(tables.paths)) == (4, 7.0, 4)
    np.testing.assert_allclose(states(attach(model, tables), inputs), states(changed, inputs), atol=1e-5)


@pytest.fixture(scope="module")
def network():
    return layers_of(bert()[0])


@pytest.fixture
def files():
    return to_peft(make_tables(bert()[0]), "x")


def reconfigured(files, **fields):
    config = json.loads(files[CONFIG_NAME]) | fields
    return files | {CONFIG_NAME: json.dumps(config).encode()}


def retabled(files, change):
    return files | {TABLES_NAME: save(change(load(files[TABLES_NAME])))}


def test_there_and_back_again(network, files):
    tables = from_peft(files, network)
    assert to_peft(tables, "x") == files


def test_the_name_of_a_model_around_the_network_is_left_aside(network, files):
    inside = retabled(files, lambda t: {k.replace("model.encoder", "model.bert.encoder"): v for k, v in t.items()})
    assert from_peft(inside, network).paths == from_peft(files, network).paths


def test_a_head_that_was_trained_beside_is_left_aside(network, files):
    def with_head(tables):
        return tables | {"base_model.model.classifier.weight": np.zeros((2, 16), np.float32)}

    both = reconfigured(retabled(files, with_head), modules_to_save=["classifier"])
    assert from_peft(both, network).paths == from_peft(files, network).paths
    with pytest.raises(ParameterInvalid, match=r"classifier"):
        from_peft(retabled(files, with_head), network)


def test_half_precision_is_widened(network, files):
    from safetensors.torch import load as load_torch
    from safetensors.torch import save as save_torch

    half = {name: tensor.bfloat16() for name, tensor in load_torch(files[TABLES_NAME]).items()}
    tables = from_peft(files | {TABLES_NAME: save_torch(half)}, network)
    assert next(iter(tables.a.values())).dtype == np.float32


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"peft_type": "IA3"}, "'IA3'; only LORA"),
        ({"use_dora": True}, "DoRA"),
        ({"use_rslora": True}, "rank-stabilised"),
        ({"bias": "all"}, "biases"),
        ({"rank_pattern": {"query": 4}}, "ranks that differ"),
        ({"r": 0}, "rank 0"),
        ({"r": "many"}, "no configuration"),
        ({"r": 4}, "needs"),
        ({"lora_alpha": -1}, "alpha"),
    ],
)
def test_other_configurations_are_refused(network, files, fields, words):
    with pytest.raises(ParameterInvalid, match=words):
        from_peft(reconfigured(files, **fields), network)


def drop_first(tables):
    return dict(sorted(tables.items())[1:])


def rename(tables):
    return {name.replace("layer.0", "layer.7"): table for name, table in tables.items()}


def cut(tables):
    return {name: table[:2] for name, table in tables.items()}


def spoil(tables):
    return {name: np.full_like(table, np.nan) for name, table in tables.items()}


def magnitude(tables):
    return tables | {"base_model.model.encoder.layer.0.lora_magnitude_vector": np.ones(3, np.float32)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_first, "both halves"),
        (rename, "another network"),
        (cut, "another network"),
        (spoil, "not finite"),
        (magnitude, "Other variants"),
        (lambda _tables: {}, "both halves"),
    ],
)
def test_other_tables_are_refused(network, files, change, words):
    with pytest.raises(ParameterInvalid, match=words):
        from_peft(retabled(files, change), network)


@pytest.mark.parametrize(
    ("files_of", "words"),
    [
        (lambda f: {TABLES_NAME: f[TABLES_NAME]}, "no adapter_config.json"),
        (lambda f: {CONFIG_NAME: f[CONFIG_NAME]}, "no adapter_model.safetensors"),
        (lambda f: {CONFIG_NAME: f[CONFIG_NAME], "adapter_model.bin": b"\x80"}, "pickled"),
        (lambda f: f | {CONFIG_NAME: b"[]"}, "no configuration"),
        (lambda f: f | {CONFIG_NAME: b"{"}, "no configuration"),
        (lambda f: f | {TABLES_NAME: b"nonsense"}, "not a safetensors file"),
    ],
)
def test_missing_and_broken_files_are_refused(network, files, files_of, words):
    with pytest.raises(ParameterInvalid, match=words):
        from_peft(files_of(files), network)
