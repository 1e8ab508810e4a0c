"""Every architecture that people use, as a tiny random network: hosted from its folder, it computes what torch does.

The references are the networks' own classes, fed as their makers feed them: texts one by one without padding, sounds by
the extractors of transformers. VGG, Inception and MobileNetV3 are timm's, which builds no tiny ones: VGG11 with its
first fully connected layer cut to 8 stands for VGG16, and Inception is whole, at its smallest image.
"""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.base import AS_LONG, Backbone, Card
from models.catalog import Entry, Options
from models.errors import SourceRefused
from models.hosted import host, open_backbone
from models.images.pixels import PixelRecipe, read_pixels
from models.sources import Folder
from models.trunks.torchvision_ops import complete

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "card", "lost", "my", "query:", "where", "is", "parcel", "the"]
TEXTS = ["card", "where is my lost card", "", "the parcel is lost " * 8]
VOCABULARY = 16
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {"image_size": 16, "patch_size": 8}
POSITIONS = 40
DEFAULTS = Options()


@dataclass(frozen=True)
class Architecture:
    """One case.

    Attributes:
        modality: What it takes.
        make: Builds the network and gives it with what is saved: a network with a head, where those are in circulation.
        reference: Network, one item's own input -> its embedding.
        options: What is chosen.
        files: JSON files beside the weights.
        timm: Name and arguments in timm.
        edge: Of its images, in pixels.
    """

    modality: str
    make: Callable[[], Any]
    reference: Callable[[Any, Any], Any]
    options: Options = DEFAULTS
    files: dict[str, Any] = field(default_factory=dict)
    timm: tuple[str, dict[str, Any]] = ("", {})
    edge: int = 16


def mean(states):
    return states[0].mean(0)


def unit(z):
    return z / z.norm()


def of_transformers(name: str, config: str, **fields: Any) -> Callable[[], Any]:
    def make():
        complete()
        import torch
        import transformers

        torch.manual_seed(0)
        return alive(getattr(transformers, name)(getattr(transformers, config)(**fields)).eval())

    return make


def of_timm(name: str, **arguments: Any) -> Callable[[], Any]:
    def make():
        complete()
        import timm
        import torch

        torch.manual_seed(0)
        return alive(timm.create_model(name, **arguments).eval())

    return make


def alive(network):
    """Weights that carry a signal through: those that CNNs start with fade to exact zeros before they are trained."""
    import torch

    if any(isinstance(part, torch.nn.BatchNorm2d) for part in network.modules()):
        for weight in network.parameters():
            if weight.ndim == 4:
                torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
            elif weight.ndim == 1:
                torch.nn.init.normal_(weight, 1.0, 0.1)
    return network


def classifier_free(model, pixels):
    model.reset_classifier(0)
    model.aux_logits = False
    return model(pixels)[0]


BERT = {"vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS, **TINY}
ROBERTA = {**BERT, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
TOWERS = {
    "text_config": {**BERT, "projection_dim": 8, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "vision_config": {**TINY, **VISION, "projection_dim": 8},
}
SIGLIP = {
    "text_config": {**BERT, "max_position_embeddings": 24, "projection_size": 16},
    "vision_config": {**TINY, **VISION},
}
SPEECH = {"vocab_size": 32, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
SAMPLES = {"preprocessor_config.json": {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True}}
AST_MEL = {"feature_extractor_type": "ASTFeatureExtractor", "max_length": 64, "num_mel_bins": 32}
WHISPER_MEL = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "chunk_length": 1}
SENTENCES = {
    "modules.json": [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
    ],
    "sentence_bert_config.json": {"max_seq_length": 20},
}


def image(make: Callable[[], Any], reference: Callable[[Any, Any], Any], **fields: Any) -> Architecture:
    return Architecture("image", make, reference, **fields)


def text(make: Callable[[], Any], reference: Callable[[Any, Any], Any], **fields: Any) -> Architecture:
    return Architecture("text", make, reference, **fields)


ARCHITECTURES = {
    "bert": text(
        of_transformers("BertForMaskedLM", "BertConfig", **BERT),
        lambda m, ids: mean(m.bert(ids).last_hidden_state),
        options=Options(taps=("pooled", "block1", "block2")),
    ),
    "bge (cls)": text(
        of_transformers("BertModel", "BertConfig", **BERT),
        lambda m, ids: unit(m(ids).last_hidden_state[0, 0]),
        files={**SENTENCES, "1_Pooling/config.json": {"pooling_mode_cls_token": True}},
    ),
    "e5 (prefix)": text(
        of_transformers("BertModel", "BertConfig", **BERT),
        lambda m, ids: unit(mean(m(ids).last_hidden_state)),
        options=Options(prefix="query: ", pooling="mean", normalise=True),
    ),
    "distilbert": text(
        of_transformers(
            "DistilBertModel",
            "DistilBertConfig",
            **{"vocab_size": VOCABULARY, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
        ),
        lambda m, ids: mean(m(ids).last_hidden_state),
        options=Options(max_tokens=POSITIONS),
    ),
    "roberta": text(
        of_transformers("RobertaModel", "RobertaConfig", **ROBERTA), lambda m, ids: mean(m(ids).last_hidden_state)
    ),
    "multilingual (XLM-R)": text(
        of_transformers("XLMRobertaModel", "XLMRobertaConfig", **ROBERTA),
        lambda m, ids: mean(m(ids).last_hidden_state),
        files={**SENTENCES, "1_Pooling/config.json": {"pooling_mode": "mean"}},
        options=Options(normalise=False),
    ),
    "mpnet": text(
        of_transformers("MPNetModel", "MPNetConfig", **ROBERTA), lambda m, ids: mean(m(ids).last_hidden_state)
    ),
    "gpt2 (last)": text(
        of_transformers(
            "GPT2LMHeadModel",
            "GPT2Config",
            **{"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS},
            **{"bos_token_id": 0, "eos_token_id": 0},
        ),
        lambda m, ids: m.transformer(ids).last_hidden_state[0, -1],
    ),
    "gpt2 (mean)": text(
        of_transformers(
            "GPT2Model",
            "GPT2Config",
            **{"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS},
            **{"bos_token_id": 0, "eos_token_id": 0},
        ),
        lambda m, ids: mean(m(ids).last_hidden_state),
        options=Options(pooling="mean"),
    ),
    "clip, text": text(
        of_transformers("CLIPModel", "CLIPConfig", projection_dim=8, **TOWERS),
        lambda m, ids: unit(m.get_text_features(ids).pooler_output[0]),
        options=Options(tower="text"),
    ),
    "siglip, text": text(
        of_transformers("SiglipModel", "SiglipConfig", **SIGLIP),
        lambda m, ids: unit(m.get_text_features(padded(ids, 24)).pooler_output[0]),
    ),
    "clip, vision": image(
        of_transformers("CLIPModel", "CLIPConfig", projection_dim=8, **TOWERS),
        lambda m, x: unit(m.get_image_features(x).pooler_output[0]),
        options=Options(tower="vision"),
    ),
    "siglip, vision": image(
        of_transformers("SiglipModel", "SiglipConfig", **SIGLIP),
        lambda m, x: unit(m.get_image_features(x).pooler_output[0]),
    ),
    "vit": image(
        of_transformers("ViTForImageClassification", "ViTConfig", **TINY, **VISION),
        lambda m, x: m.vit(x).last_hidden_state[0, 0],
        options=Options(taps=("pooled", "block1")),
    ),
    "deit": image(
        of_transformers("DeiTModel", "DeiTConfig", **TINY, **VISION), lambda m, x: m(x).last_hidden_state[0, 0]
    ),
    "dinov2": image(
        of_transformers(
            "Dinov2Model",
            "Dinov2Config",
            **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
        ),
        lambda m, x: m(x).last_hidden_state[0, 0],
        edge=42,
    ),
    "resnet": image(
        of_transformers(
            "ResNetForImageClassification",
            "ResNetConfig",
            **{"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 2], "layer_type": "bottleneck"},
        ),
        lambda m, x: m.resnet(x).pooler_output[0, :, 0, 0],
        options=Options(taps=("pooled", "block2")),
        edge=32,
    ),
    "convnext": image(
        of_transformers("ConvNextModel", "ConvNextConfig", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        lambda m, x: m(x).pooler_output[0],
        edge=32,
    ),
    "mobilenetv1": image(
        of_transformers("MobileNetV1Model", "MobileNetV1Config", depth_multiplier=0.25, image_size=32),
        lambda m, x: m(x).pooler_output[0],
        edge=32,
    ),
    "mobilenetv2": image(
        of_transformers("MobileNetV2Model", "MobileNetV2Config", depth_multiplier=0.1, image_size=32),
        lambda m, x: m(x).pooler_output[0],
        edge=32,
    ),
    "efficientnet": image(
        of_transformers(
            "EfficientNetModel",
            "EfficientNetConfig",
            **{"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320},
        ),
        lambda m, x: m(x).pooler_output[0],
        edge=32,
    ),
    "mobilenetv3 (timm)": image(
        of_timm("mobilenetv3_small_050"), classifier_free, timm=("mobilenetv3_small_050", {}), edge=32
    ),
    "vgg (timm)": image(
        of_timm("vgg11", mlp_ratio=0.002), classifier_free, timm=("vgg11", {"mlp_ratio": 0.002}), edge=32
    ),
    "inceptionv3 (timm)": image(
        of_timm("inception_v3", aux_logits=True), classifier_free, timm=("inception_v3", {}), edge=75
    ),
    "wav2vec2": Architecture(
        "audio",
        of_transformers("Wav2Vec2ForCTC", "Wav2Vec2Config", **SPEECH, **TINY),
        lambda m, x: mean(m.wav2vec2(x).last_hidden_state),
        Options(max_seconds=1.0, taps=("pooled", "block1")),
        SAMPLES,
    ),
    "hubert": Architecture(
        "audio",
        of_transformers("HubertModel", "HubertConfig", **SPEECH, **TINY),
        lambda m, x: mean(m(x).last_hidden_state),
        Options(max_seconds=1.0),
        SAMPLES,
    ),
    "whisper": Architecture(
        "audio",
        of_transformers(
            "WhisperForConditionalGeneration",
            "WhisperConfig",
            **{"vocab_size": 32, "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "max_source_positions": 50},
            **{
                "encoder_attention_heads": 2,
                "decoder_attention_heads": 2,
                "encoder_ffn_dim": 32,
                "decoder_ffn_dim": 32,
            },
            **{"pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1},
        ),
        lambda m, x: mean(m.model.encoder(x).last_hidden_state),
        files={"preprocessor_config.json": WHISPER_MEL},
    ),
    "ast": Architecture(
        "audio",
        of_transformers("ASTForAudioClassification", "ASTConfig", max_length=64, num_mel_bins=32, **TINY),
        lambda m, x: m.audio_spectrogram_transformer(x).pooler_output[0],
        files={"preprocessor_config.json": AST_MEL},
    ),
}


@dataclass(frozen=True)
class Hosted:
    architecture: Architecture
    network: Any
    home: Path
    card: Card
    backbone: Backbone
    entry: Entry


def padded(ids, length):
    import torch

    return torch.nn.functional.pad(ids, (0, length - ids.shape[1]), value=1)


def save(architecture: Architecture, network: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    if architecture.timm[0]:
        save_file(network.state_dict(), folder / "model.safetensors")
    else:
        network.save_pretrained(folder)
    if architecture.modality == "text":
        write_tokenizer(folder, "gpt2" not in network.config.model_type)
    if architecture.modality == "image":
        processor = {"image_processor_type": "ViTImageProcessor", "size": [architecture.edge] * 2, "resample": 2}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    for name, content in architecture.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


def write_tokenizer(folder: Path, special: bool) -> None:
    """Words between <s> and </s>, or words alone, as GPT-2 has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        ends = [("<s>", 0), ("</s>", 2)]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    tokenizer.enable_padding(length=128)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": {"content": "<pad>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))


def preprocess_of(architecture: Architecture) -> dict[str, Any]:
    """timm's own defaults would prepare images at 224 px."""
    edge = architecture.edge
    return {"size": edge, "resize": [edge, edge], "mean": 127.5, "std": 127.5} if architecture.timm[0] else {}


def entry_of(name: str, folder: Path) -> Entry:
    from dataclasses import replace

    architecture = ARCHITECTURES[name]
    timm, arguments = architecture.timm
    options = replace(architecture.options, preprocess=preprocess_of(architecture))
    return Entry("tiny", architecture.modality, "Apache-2.0", name, Folder(str(folder), timm, arguments), options)


@pytest.fixture(scope="module")
def hosting(tmp_path_factory):
    """Hosts an architecture, once."""
    import torch

    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("hosted")

    @cache
    def hosted(name: str) -> Hosted:
        folder = tmp_path_factory.mktemp("weights")
        network = ARCHITECTURES[name].make()
        save(ARCHITECTURES[name], network, folder)
        entry = entry_of(name, folder)
        card = host(entry, home, lambda _stage, _share: None, pointer=False)
        return Hosted(ARCHITECTURES[name], network, home, card, open_backbone(home, card.digest, threads=1), entry)

    return hosted


@pytest.fixture(params=list(ARCHITECTURES))
def it(request, hosting):
    return hosting(request.param)


def items_of(modality: str) -> list[str | bytes]:
    if modality == "text":
        return list(TEXTS)
    rng = np.random.default_rng(3)
    if modality == "image":
        return [png(rng.integers(0, 256, size, np.uint8)) for size in ((40, 30, 3), (75, 75, 3), (20, 90, 3))]
    return [wav(rng.normal(0, 0.1, samples)) for samples in (4000, 7777, 15999)]


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav(samples: np.ndarray) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), 16000, format="WAV")
    return file.getvalue()


def expected(it: Hosted, item: str | bytes) -> np.ndarray:
    """The network's own embedding of one item."""
    import torch

    with torch.inference_mode():
        return it.architecture.reference(it.network, own_input(it, item)).numpy()


def own_input(it: Hosted, item: str | bytes):
    """One item as the network's makers feed it."""
    import torch

    if it.architecture.modality == "text":
        [encoded] = it.backbone.prepare([item])
        return torch.from_numpy(encoded.values)[None]
    if it.architecture.modality == "image":
        pixels = read_pixels(item, PixelRecipe.from_dict(it.card.recipe["pixels"]))
        return (torch.from_numpy(pixels / 255).float().permute(2, 0, 1)[None] - 0.5) / 0.5
    return extracted(it.architecture.files["preprocessor_config.json"], item)


def extracted(config: dict[str, Any], item: bytes):
    import soundfile
    import transformers

    samples, rate = soundfile.read(io.BytesIO(item), dtype="float32")
    fields = {name: value for name, value in config.items() if name != "feature_extractor_type"}
    extractor = getattr(transformers, config["feature_extractor_type"])(**fields)
    return next(iter(extractor(samples, sampling_rate=rate, return_tensors="pt").values()))


def embed(backbone: Backbone, items: list[str | bytes]) -> np.ndarray:
    """As `models.batching` does: no more at once than the backbone takes."""
    encoded, most = backbone.prepare(items), backbone.limits.items
    return np.concatenate([backbone.run(encoded[i : i + most]) for i in range(0, len(encoded), most)])


def test_it_computes_what_torch_does(it):
    items = items_of(it.architecture.modality)
    z = embed(it.backbone, items)
    reference = np.stack([expected(it, item) for item in items])
    assert z.shape == (len(items), *it.card.taps["pooled"])
    assert np.abs(z - reference).max() <= 1e-4 * np.abs(reference).max()
    assert np.abs(z[0] - z[1]).max() > 1e-3 * np.abs(z).max()


def test_a_row_does_not_depend_on_its_neighbours_or_on_padding(it):
    items = items_of(it.architecture.modality)
    together = embed(it.backbone, items)
    alone = np.concatenate([embed(it.backbone, [item]) for item in items])
    norms = np.linalg.norm(alone, axis=1, keepdims=True)
    assert (np.abs(together - alone) / norms).max() <= 1e-6


def test_the_card_says_what_was_done(it):
    recipe = it.card.recipe
    assert recipe["normalisation"] in ("L2", "none")
    assert 0 <= recipe["difference_from_torch"]["pooled"] <= 1e-4
    assert recipe["opset"] == 20
    assert len(recipe["weights_sha256"]) == 64
    assert 0 < recipe["parameters"] <= sum(p.numel() for p in it.network.parameters())
    if recipe["normalisation"] == "L2":
        np.testing.assert_allclose(np.linalg.norm(embed(it.backbone, items_of(it.card.modality)), axis=1), 1, atol=1e-5)


def test_a_prefix_stands_before_each_text_and_counts_in_the_cut(hosting):
    backbone = hosting("e5 (prefix)").backbone
    start, prefix, card, end = (WORDS.index(word) for word in ("<s>", "query:", "card", "</s>"))
    short, long = backbone.prepare(["card", "card " * POSITIONS])
    assert short.values.tolist() == [start, prefix, card, end]
    assert long.values.tolist() == [start, prefix, *[card] * (POSITIONS - 3), end]
    assert [piece.tolist() for piece in long.rest] == [[start, *[card] * 3, end]]


def test_a_text_without_tokens_is_one_that_says_so(hosting):
    [encoded] = hosting("gpt2 (last)").backbone.prepare([""])
    assert encoded.values.tolist() == [WORDS.index("<s>")]


@pytest.mark.parametrize(
    ("name", "pooling", "max_tokens"),
    [
        ("bge (cls)", "cls", 20),
        ("multilingual (XLM-R)", "mean", 20),
        ("gpt2 (last)", "last", 40),
        ("roberta", "mean", 40),
    ],
)
def test_what_is_not_chosen_follows_from_the_folder_or_the_network(hosting, name, pooling, max_tokens):
    card = hosting(name).card
    assert (card.recipe["pooling"], card.max_tokens) == (pooling, max_tokens)


def hidden_states(it: Hosted, item: str | bytes):
    import torch

    with torch.inference_mode():
        return it.network(own_input(it, item), output_hidden_states=True).hidden_states


@pytest.mark.parametrize(
    ("name", "tap", "shape"),
    [
        ("bert", "block1", (AS_LONG, 16)),
        ("bert", "block2", (AS_LONG, 16)),
        ("vit", "block1", (5, 16)),
        ("resnet", "block2", (32, 4, 4)),
        ("wav2vec2", "block1", (AS_LONG, 16)),
    ],
)
def test_a_block_tap_is_the_state_behind_that_block(hosting, name, tap, shape):
    from models.session import open_session

    it = hosting(name)
    assert it.card.taps[tap] == shape
    item = items_of(it.card.modality)[1]
    values = it.backbone.prepare([item])[0].values[None]
    session = open_session(it.home / it.card.digest / f"{tap}.onnx", threads=1)
    inputs = [value.name for value in session.get_inputs()]
    fed = dict(zip(inputs, (values, np.ones_like(values)), strict=False))
    [seen] = session.run(["hidden_states"], fed)
    reference = hidden_states(it, item)[int(tap.removeprefix("block"))].numpy()
    np.testing.assert_allclose(seen, reference, atol=1e-4 * np.abs(reference).max())


def tuning_of(it: Hosted, items: list[str | bytes], scratch: Path):
    from models.trunks.tuning import open_tuning

    return open_tuning(it.entry, it.home, it.card.digest, items, scratch=scratch, threads=1)


def tuned_items(modality: str) -> list[str | bytes]:
    """Sounds of one length: networks that take any length hide no padding."""
    rng = np.random.default_rng(5)
    return [wav(rng.normal(0, 0.1, 8000)) for _ in range(3)] if modality == "audio" else items_of(modality)


def run(module, feed: dict[str, np.ndarray]) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return module(*map(torch.from_numpy, feed.values())).numpy()


def close(seen: np.ndarray, reference: np.ndarray) -> bool:
    return seen.shape == reference.shape and bool(np.abs(seen - reference).max() <= 1e-4 * np.abs(reference).max())


READS_ITS_IDS = {"clip, text"}
"""Pools at the token that ends the text, which it finds among the ids: what lies behind a block is not enough."""


def test_the_tail_behind_a_block_computes_the_rest(it, tmp_path):
    """In torch alone, on the inputs that the graphs are tried on."""
    import torch

    from models.trunks.cut import tail_behind
    from models.trunks.network import tap_module, tensors

    network = tuning_of(it, [], tmp_path).network
    if it.entry.about in READS_ITS_IDS:
        with pytest.raises(SourceRefused, match=r"cannot be cut there: .* Train the whole network"):
            tail_behind(network, 1)
        return
    last = len(network.blocks) - 1
    for after in sorted({1, last // 2 + 1, last} if last > 0 else ()):
        tail = tail_behind(network, after)
        for case in network.inputs.cases[1:4]:
            inputs = tensors(case)
            with torch.inference_mode():
                states = tap_module(network, f"block{after}")(*inputs)
                seen, expected = tail(states, *inputs[1:]), tap_module(network, "pooled")(*inputs)
            assert close(seen.numpy(), expected.numpy())


OF_EACH_KIND = ("bert", "siglip, text", "vit", "resnet", "wav2vec2", "whisper")
"""States as long as the text and of one length, of tokens, channels and frames; each has a graph to be exported."""


@pytest.mark.parametrize("name", [*OF_EACH_KIND, "gpt2 (last)", "mobilenetv3 (timm)"])
def test_a_tail_is_trained_on_what_it_will_see(hosting, name, tmp_path):
    it = hosting(name)
    items = tuned_items(it.card.modality)
    tuning = tuning_of(it, items, tmp_path)
    tuning.bring(1, on_progress=lambda _share: None, check=lambda: None)
    at = list(range(len(items)))[::-1]
    assert close(run(tuning.module(1), tuning.batch(1, at)), embed(it.backbone, items)[::-1])
    names = [name for name, _ in tuning.module(1).named_parameters()]
    assert {name.split(".")[1] for name in names if name.startswith("blocks.")} == {str(tuning.depth - 1)}


@pytest.mark.parametrize(
    ("name", "k"),
    [
        *(("gpt2 (last)", 1), ("siglip, text", 1), ("resnet", 1), ("whisper", 1)),
        *(("clip, text", None), ("wav2vec2", None)),
    ],
)
def test_what_was_trained_is_exported(hosting, name, k, tmp_path):
    import onnxruntime as ort

    it = hosting(name)
    tuning = tuning_of(it, tuned_items(it.card.modality), tmp_path)
    tuning.bring(k, on_progress=lambda _share: None, check=lambda: None)
    module = tuning.module(k)
    session = ort.InferenceSession(tuning.export(module, k))
    feed = tuning.batch(k, [1, 0, 2])
    assert [value.name for value in session.get_inputs()] == list(feed)
    assert close(session.run(["scores"], feed)[0], run(module, feed))


@pytest.mark.parametrize("name", ["mobilenetv3 (timm)", "vit", "wav2vec2"])
def test_a_module_moves_to_another_device_as_a_whole(hosting, name, tmp_path):
    """The device without memory stands for a GPU: it too refuses tensors that lie elsewhere."""
    import torch

    it = hosting(name)
    tuning = tuning_of(it, tuned_items(it.card.modality), tmp_path)
    for k in (1, None):
        tuning.bring(k, on_progress=lambda _share: None, check=lambda: None)
        module = tuning.module(k).to("meta")
        z = module(*(torch.from_numpy(array).to("meta") for array in tuning.batch(k, [0, 1]).values()))
        assert (z.shape[0], z.device.type) == (2, "meta")


@pytest.mark.parametrize("name", [*OF_EACH_KIND, "gpt2 (mean)"])
def test_the_blocks_are_one_embedding(hosting, name):
    from models.hosted import add_tap

    it = hosting(name)
    card = add_tap(it.entry, it.home, it.card.digest, "blocks", lambda _stage, _share: None)
    backbone = open_backbone(it.home, card.digest, threads=1, tap="blocks")
    items = items_of(card.modality)
    z, pooled = embed(backbone, items), embed(it.backbone, items)
    assert z.shape == (len(items), sum(card.parts.values()))
    assert list(card.parts)[-1] == "pooled"
    assert close(z[:, -pooled.shape[1] :], pooled)
    alone = np.concatenate([embed(backbone, [item]) for item in items])
    assert (np.abs(z - alone) / np.linalg.norm(alone, axis=1, keepdims=True)).max() <= 1e-6
    if name in ("bert", "vit", "resnet", "wav2vec2", "gpt2 (mean)"):
        means = [
            np.asarray(state[0].flatten(1).mean(1) if state.ndim > 3 else state[0].mean(0))
            for state in hidden_states(it, items[1])[1:]
        ]
        width = sum(len(mean) for mean in means[:-1])  # behind the last one some have a norm
        assert close(z[1, :width], np.concatenate(means[:-1]))


def test_a_network_that_repeats_nothing_has_no_taps_and_says_so(hosting, tmp_path):
    from models.hosted import add_tap

    it = hosting("inceptionv3 (timm)")
    with pytest.raises(SourceRefused, match="There is no tap 'blocks': inception_v3 has no blocks"):
        add_tap(it.entry, it.home, it.card.digest, "blocks", lambda _stage, _share: None)
    with pytest.raises(SourceRefused, match=r"inception_v3 repeats nothing.* Train the whole network"):
        tuning_of(it, tuned_items("image"), tmp_path).tap(1)


def test_blocks_that_hand_each_other_more_than_their_states_cannot_be_cut(tmp_path):
    """T5's first block computes the biases of all."""
    from models.trunks.cut import tail_behind
    from models.trunks.from_folder import FolderWeights, load_network

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": 2}
    make = of_transformers("T5Model", "T5Config", vocab_size=VOCABULARY, **sizes)
    save(text(make, lambda m, ids: mean(m.encoder(ids).last_hidden_state)), make(), tmp_path)
    entry = Entry("t5", "text", "", "t5", Folder(str(tmp_path)), Options(max_tokens=POSITIONS))
    network, _ = load_network(entry, FolderWeights(tmp_path), tmp_path)
    for after in (1, 2):
        with pytest.raises(SourceRefused, match=r"t5 cannot be cut there: .* Train the whole network"):
            tail_behind(network, after)


def test_serving_loads_neither_torch_nor_transformers(hosting):
    program = """
import json, sys
from pathlib import Path
from models.hosted import open_backbone
from models.warm import warm
for digest in json.loads(sys.argv[2]):
    warm(open_backbone(Path(sys.argv[1]), digest, threads=1))
print(sorted({"torch", "transformers", "onnx", "onnxscript", "timm", "torchvision"} & sys.modules.keys()))
"""
    built = [
        hosting(name) for name in ("gpt2 (last)", "siglip, text", "vgg (timm)", "clip, vision", "whisper", "hubert")
    ]
    digests = json.dumps([it.card.digest for it in built])
    command = [sys.executable, "-W", "error", "-c", program, str(built[0].home), digests]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_an_architecture_that_cannot_be_exported_fails_with_a_sentence(tmp_path):
    swin = of_transformers(
        "SwinModel",
        "SwinConfig",
        image_size=32,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[1, 2],
        window_size=4,
    )
    architecture = image(swin, lambda m, x: m(x).pooler_output[0], edge=32)
    save(architecture, swin(), tmp_path)
    entry = Entry("swin", "image", "Apache-2.0", "swin", Folder(str(tmp_path)))
    with pytest.raises(SourceRefused, match=r"'swin' cannot be used .* cannot export it to ONNX") as caught:
        host(entry, tmp_path / "hosted", lambda _stage, _share: None, pointer=False)
    assert caught.value.message.endswith("upload an ONNX file of this one.")
    assert list((tmp_path / "hosted").glob("[!.]*")) == []


def test_the_core_works_without_timm_and_torchvision(tmp_path):
    save(ARCHITECTURES["mobilenetv1"], ARCHITECTURES["mobilenetv1"].make(), tmp_path)
    (tmp_path / "item.png").write_bytes(items_of("image")[0])
    program = """
import sys
from pathlib import Path
sys.modules["timm"] = sys.modules["torchvision"] = None
from models.catalog import Entry
from models.errors import SourceRefused
from models.hosted import host, open_backbone
from models.sources import Folder
folder = Path(sys.argv[1])

def hosted(source):
    return host(Entry("tiny", "image", "", "", source), folder / "hosted", lambda stage, share: None, pointer=False)

backbone = open_backbone(folder / "hosted", hosted(Folder(str(folder))).digest, threads=1)
print(backbone.run(backbone.prepare([(folder / "item.png").read_bytes()])).shape)
try:
    hosted(Folder(str(folder), "vgg16"))
except SourceRefused as error:
    print(error.message)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    shape, sentence = done.stdout.splitlines()
    assert shape == "(1, 256)"
    assert "Install the extra `timm`" in sentence


def cifar(bench_data: Path, count: int) -> list[bytes]:
    import pyarrow.parquet as pq

    table = pq.read_table(bench_data / "cifar10" / "train.parquet").slice(0, count)
    return [row["bytes"] if isinstance(row, dict) else row for row in table["image"].to_pylist()]


@pytest.mark.bench_data
def test_real_weights_in_hugging_face_layout(bench_data, tmp_path):
    import torch
    from transformers import AutoModelForImageClassification

    folder = bench_data / "weights" / "mobilenetv1_0.25_128_imagenet_hf"
    images = cifar(bench_data, 4)
    card = host(Entry("v1", "image", "", "", Folder(str(folder))), tmp_path, lambda _s, _d: None, pointer=False)
    z = embed(open_backbone(tmp_path, card.digest, threads=1), images)
    assert card.taps == {"pooled": (256,)}
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    check_against_torch(z, images, card, lambda x: model.mobilenet_v1(x).pooler_output, torch)


@pytest.mark.bench_data
def test_real_weights_of_timm(bench_data, tmp_path):
    import timm
    import torch
    from safetensors.torch import load_file

    folder = bench_data / "weights" / "mobilenetv2_100_imagenet"
    images = cifar(bench_data, 4)
    preprocess = {"size": 128, "mean": [127.5], "std": [127.5], "resample": "bilinear"}
    source = Folder(str(folder), "mobilenetv2_100", {"pad_type": "same"})
    entry = Entry("v2", "image", "", "", source, Options(preprocess=preprocess))
    card = host(entry, tmp_path, lambda _s, _d: None, pointer=False)
    z = embed(open_backbone(tmp_path, card.digest, threads=1), images)
    assert card.taps == {"pooled": (1280,)}
    assert card.recipe["pixels"]["resize"] == 146
    model = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same").eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.reset_classifier(0)
    check_against_torch(z, images, card, model, torch)


def check_against_torch(z, images, card, model, torch):
    recipe = PixelRecipe.from_dict(card.recipe["pixels"])
    pixels = torch.from_numpy(np.stack([read_pixels(data, recipe) for data in images])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        reference = model((pixels - 127.5) / 127.5).flatten(1).numpy()
    assert np.abs(z - reference).max() <= 1e-4 * np.abs(reference).max()
    assert np.abs(reference).max() > 0.5
