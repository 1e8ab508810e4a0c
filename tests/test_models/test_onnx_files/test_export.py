"""Uploaded graphs: those that can be served, and a sentence for each that cannot."""

import io

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from PIL import Image

from models.catalog import Entry, Options
from models.errors import SourceRefused
from models.hosted import host, open_backbone
from models.onnx_files.check import load_graph
from models.sources import OnnxFile
from models.warm import sample_items

RNG = np.random.default_rng(0)
HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def graph(body, **weights):
    model = parser.parse_model(f"{HEAD}\n{body}")
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items())
    return model


MEANS = """
net (float[n, 3, 4, 6] x) => (float[n, 3] y) {
  axes = Constant <value_ints = [2, 3]> ()
  y = ReduceMean <keepdims = 0> (x, axes)
}"""
SOUND = """
net (float[n, t] wave) => (float[n, 2] y) {
  axes = Constant <value_ints = [1]> ()
  power = Mul (wave, wave)
  mean = ReduceMean (wave, axes)
  energy = ReduceMean (power, axes)
  y = Concat <axis = 1> (mean, energy)
}"""
TEXT = """
net (int64[n, t] input_ids, int64[n, t] attention_mask) => (float[n, 4] y) {
  axes = Constant <value_ints = [1]> ()
  last = Constant <value_ints = [2]> ()
  rows = Gather (table, input_ids)
  mask = Cast <to = 1> (attention_mask)
  weights = Unsqueeze (mask, last)
  kept = Mul (rows, weights)
  y = ReduceSum <keepdims = 0> (kept, axes)
}"""
TABLE = RNG.integers(-4, 5, (300, 4)).astype(np.float32)


@pytest.fixture
def tokenizer(tmp_path):
    from models.built_in.fake import _tokenizer

    path = tmp_path / "tokenizer.json"
    path.write_text(_tokenizer(8).to_str())
    return str(path)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backbones"


@pytest.fixture
def add(tmp_path, folder):
    """Host a graph as a backbone, and open it."""

    def added(model, modality="image", input_="", output="", tokenizer="", **options):
        path = tmp_path / "uploaded.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        source = OnnxFile(str(path), input_, output, tokenizer)
        entry = Entry("mine", modality, "MIT", "of a test", source, Options(**options))
        card = host(entry, folder, lambda _stage, _share: None, pointer=False)
        return open_backbone(folder, card.digest, threads=1)

    return added


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def embed(backbone, *items):
    return backbone.run(backbone.prepare(items))


PIXELS = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)


def test_an_image_graph_gets_scaled_channels_first_pixels(add):
    mean, std = [10.0, 20.0, 30.0], [2.0, 4.0, 8.0]
    backbone = add(graph(MEANS), preprocess={"mean": mean, "std": std})
    expected = ((PIXELS - np.array(mean)) / std).mean((0, 1))
    np.testing.assert_allclose(embed(backbone, png(PIXELS))[0], expected, rtol=1e-5)
    assert backbone.card.taps == {"pooled": (3,)}
    assert backbone.card.recipe["pixels"]["size"] == [4, 6]


def test_rows_of_pixels_stay_rows(add):
    body = """
    net (float[n, 3, 4, 6] x) => (float[n, 3] y) {
      across = Constant <value_ints = [3]> ()
      top = Constant <value_int = 0> ()
      rows = ReduceMean <keepdims = 0> (x, across)
      y = Gather <axis = 2> (rows, top)
    }"""
    np.testing.assert_allclose(embed(add(graph(body)), png(PIXELS))[0], PIXELS[0].mean(0) / 255, rtol=1e-5)


def test_without_a_word_images_are_stretched_and_scaled_to_one(add):
    backbone = add(graph(MEANS))
    np.testing.assert_allclose(embed(backbone, png(PIXELS))[0], PIXELS.mean((0, 1)) / 255, rtol=1e-5)
    flat = np.full((50, 20, 3), 51, np.uint8)
    np.testing.assert_allclose(embed(backbone, png(flat))[0], 0.2, rtol=1e-5)


def test_a_graph_of_any_size_takes_the_size_that_is_said(add):
    backbone = add(graph(MEANS.replace("4, 6", "h, w")), preprocess={"size": 8, "resize": 9, "crop": True})
    assert backbone.card.recipe["pixels"]["size"] == [8, 8]
    assert np.isfinite(embed(backbone, png(PIXELS))).all()


def test_half_precision_inside_is_float32_outside(add):
    body = MEANS.replace("float[n, 3, 4, 6]", "float16[n, 3, 4, 6]").replace("float[n, 3]", "float16[n, 3]")
    z = embed(add(graph(body)), png(PIXELS))
    assert z.dtype == np.float32
    np.testing.assert_allclose(z[0], PIXELS.mean((0, 1)) / 255, atol=1e-3)


def test_a_sound_graph_gets_samples(add):
    backbone = add(graph(SOUND), "audio")
    z = embed(backbone, sample_items("audio")[0])
    np.testing.assert_allclose(z[0], [0, (8000 / 32768) ** 2 / 2], atol=1e-4)
    assert (backbone.card.recipe["rate"], backbone.card.recipe["max_samples"]) == (16000, 480000)


def test_a_sound_graph_of_one_length_says_so(add):
    backbone = add(graph(SOUND.replace("[n, t]", "[n, 4000]")), "audio", preprocess={"rate": 8000})
    assert backbone.card.recipe["fixed_samples"] == 4000
    assert embed(backbone, sample_items("audio")[0]).shape == (1, 2)


def test_a_text_graph_gets_tokens_and_a_mask(add, tokenizer):
    backbone = add(graph(TEXT, table=TABLE), "text", tokenizer=tokenizer, max_tokens=16, normalise=True)
    z = embed(backbone, "card", "a longer one")
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(z[:1], embed(backbone, "card"), atol=1e-6)
    assert (backbone.card.max_tokens, backbone.card.recipe["normalisation"]) == (16, "L2")
    assert backbone.prepare(["word " * 20])[0].size == 16


def test_kinds_of_tokens_get_zeros_and_small_integers_are_cast(add, tokenizer):
    body = TEXT.replace("int64[n, t] attention_mask", "int32[n, t] attention_mask, int32[n, t] token_type_ids")
    body = body.replace(
        "rows = Gather (table, input_ids)",
        "kinds = Gather (table, token_type_ids)\n  words = Gather (table, input_ids)\n  rows = Sub (words, kinds)",
    )
    table = TABLE - TABLE[0]
    given = embed(add(graph(body, table=table), "text", tokenizer=tokenizer), "card")
    np.testing.assert_allclose(given, embed(add(graph(TEXT, table=table), "text", tokenizer=tokenizer), "card"))


def test_one_of_two_outputs_by_name(add):
    body = MEANS.replace("(float[n, 3] y)", "(float[n, 3] y, float[n, 3] z)").replace("}", "  z = Neg (y)\n}")
    backbone = add(graph(body), output="z")
    np.testing.assert_allclose(embed(backbone, png(PIXELS))[0], -PIXELS.mean((0, 1)) / 255, rtol=1e-5)


def test_names_of_ours_in_the_file_do_no_harm(add):
    body = MEANS.replace("x", "pixels").replace("a" + "pixels" + "es", "axes").replace(" y", " item_embedding")
    backbone = add(graph(body))
    np.testing.assert_allclose(embed(backbone, png(PIXELS))[0], PIXELS.mean((0, 1)) / 255, rtol=1e-5)


def test_weights_may_be_read_in_the_body_of_a_loop_and_in_loops_within_it(add):
    body = """
    net (float[n, 3, 4, 6] x) => (float[n, 3] y) {
      axes = Constant <value_ints = [2, 3]> ()
      m = ReduceMean <keepdims = 0> (x, axes)
      y = Loop (two, , m) <body = outer (int64 k, bool c1, float[n, 3] a1) => (bool c2, float[n, 3] a2) {
        c2 = Identity (c1)
        a2 = Loop (two, , a1) <body = inner (int64 k1, bool c3, float[n, 3] b1) => (bool c4, float[n, 3] b2) {
          c4 = Identity (c3)
          b2 = Add (b1, step)
        }>
      }>
    }"""
    backbone = add(graph(body, two=np.int64(2), step=np.float32(0.5)))
    np.testing.assert_allclose(embed(backbone, png(PIXELS))[0], PIXELS.mean((0, 1)) / 255 + 2, rtol=1e-5)


def test_old_files_that_list_weights_as_inputs_are_taken(add):
    model = graph(
        MEANS.replace("y = ReduceMean", "m = ReduceMean").replace("}", "  y = Mul (m, w)\n}"), w=np.float32(2)
    )
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, []))
    np.testing.assert_allclose(embed(add(model), png(PIXELS))[0], PIXELS.mean((0, 1)) / 127.5, rtol=1e-5)


def with_external_data():
    model = graph(
        MEANS.replace("y = ReduceMean", "m = ReduceMean").replace("}", "  y = Mul (m, w)\n}"), w=np.ones(3, np.float32)
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return model


def with_hidden_external_data():
    model = graph(MEANS)
    tensor = model.graph.node[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
    tensor.data_location, tensor.name = TensorProto.EXTERNAL, "hidden"
    return model


def with_external_data_in_a_branch():
    branch = helper.make_graph([], "branch", [], [])
    tensor = branch.initializer.add(name="hidden", data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    model = graph(MEANS)
    model.graph.node[0].attribute.append(helper.make_attribute("branches", [branch]))
    return model


def with_custom_operator():
    model = graph(MEANS)
    model.opset_import.add(domain="acme", version=1)
    model.graph.node[1].domain = "acme"
    return model


def of_opset(version):
    model = graph(MEANS)
    model.opset_import[0].version = version
    return model


SUMS = """
net (float[n, 3, 4, 6] x) => (float[n, 3] y) {
  axes = Constant <value_ints = [2, 3]> ()
  m = ReduceMean <keepdims = 0> (x, axes)
"""
REFUSED = {
    "not onnx": (b"\x00\xff not a graph", {}, "not an ONNX graph, or is cut off"),
    "empty": (b"", {}, "no graph, or an empty one"),
    "cut off": (graph(MEANS, w=np.ones(100)).SerializeToString()[:-50], {}, "cut off"),
    "external data": (with_external_data(), {}, "another file .external data"),
    "hidden external data": (with_hidden_external_data(), {}, "another file .external data"),
    "external data in a branch": (with_external_data_in_a_branch(), {}, "another file .external data"),
    "custom operator": (with_custom_operator(), {}, "custom operator 'ReduceMean' of 'acme'"),
    "old opset": (of_opset(9), {}, "opset 9; 13 or newer"),
    "future opset": (of_opset(99), {}, "opset|ONNX Runtime cannot load|not valid"),
    "no such operator": (graph(MEANS.replace("ReduceMean", "ReduceMeen")), {}, "not valid ONNX: No Op registered"),
    "wrong input": (graph(MEANS), {"input_": "image"}, "no input 'image'; it has 'x'"),
    "wrong output": (graph(MEANS), {"output": "z"}, "no output 'z'; it has 'y'"),
    "two outputs": (
        graph(MEANS.replace("(float[n, 3] y)", "(float[n, 3] y, float[n, 3] m)").replace("}", "  m = Neg (y)\n}")),
        {},
        "has 2 outputs: 'y', 'm'. Name the one",
    ),
    "two inputs": (
        graph(MEANS.replace("x)", "x, float[n, 3] other)", 1)),
        {"input_": "x"},
        "Beside 'x' the graph takes 'other'",
    ),
    "fixed batch": (graph(MEANS.replace("[n, 3, 4, 6]", "[1, 3, 4, 6]")), {}, "batches of exactly 1.*dynamic batch"),
    "four channels": (graph(MEANS.replace("[n, 3, 4, 6]", "[n, 4, 4, 6]")), {}, "3 channels"),
    "channels last": (graph(MEANS.replace("[n, 3, 4, 6]", "[n, 4, 6, 3]")), {}, "transpose it to channels first"),
    "flat input": (graph(MEANS.replace("[n, 3, 4, 6]", "[n, 72]")), {}, r"takes \(any, 72\); \(n, 3, h, w\) is needed"),
    "double": (graph(MEANS.replace("float[n", "double[n")), {}, "type double; float or float16 is taken"),
    "no size": (graph(MEANS.replace("4, 6", "h, w")), {}, "images of any size"),
    "another size": (graph(MEANS), {"preprocess": {"size": 224}}, r"takes .*but preprocess says the size \(224, 224\)"),
    "unknown setting": (graph(MEANS), {"preprocess": {"zoom": 2}}, "no setting 'zoom'"),
    "a map of features": (
        graph("net (float[n, 3, 4, 6] x) => (float[n, 3, 4, 6] y) { y = Neg (x) }"), {}, "End the graph in a pooling"),
    "rank unknown and wrong": (
        graph("net (float[n, 3, 4, 6] x) => (float[n, d] y) { y = Neg (x) }"), {},
        "not valid|one row of numbers|cannot load",
    ),
    "batch statistics": (
        graph(SUMS + "  zero = Constant <value_ints = [0]> ()\n  all = ReduceMean (m, zero)\n  y = Sub (m, all)\n}"),
        {},
        "depends on the items beside it",
    ),
    "a batch of one only": (
        graph(SUMS + "  shape = Constant <value_ints = [1, 3]> ()\n  y = Reshape (m, shape)\n}"),
        {},
        "does not run on",
    ),
    "not finite": (graph(SUMS + "  l = Log (m)\n  y = Identity (l)\n}"), {}, "not finite"),
    "random": (
        graph(SUMS + "  r = RandomNormalLike <scale = 1e-9> (m)\n  y = Add (m, r)\n}"),
        {},
        "another embedding each time",
    ),
    "constant": (graph(SUMS + "  y = Sub (m, m)\n}"), {}, "the same for every item"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_with_a_sentence_and_leaves_nothing(add, folder, case):
    model, given, sentence = REFUSED[case]
    with pytest.raises(SourceRefused, match=sentence):
        add(model, **given)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("case", ["future opset", "a batch of one only"])
def test_what_onnx_runtime_says_is_told_without_paths_and_places_in_its_source(add, tmp_path, case):
    with pytest.raises(SourceRefused) as caught:
        add(REFUSED[case][0])
    assert not any(noise in caught.value.message for noise in (str(tmp_path), "onnxruntime_src", "ONNXRuntimeError"))
    assert "Export it" in caught.value.message


def test_a_graph_of_texts_needs_its_tokenizer_and_names(add, tokenizer, tmp_path):
    model = graph(TEXT, table=TABLE)
    with pytest.raises(SourceRefused, match=r"Upload its tokenizer\.json"):
        add(model, "text")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(SourceRefused, match="tokenizer cannot be read"):
        add(model, "text", tokenizer=str(tmp_path / "broken.json"))
    with pytest.raises(SourceRefused, match="takes 'ids', 'attention_mask'"):
        add(graph(TEXT.replace("input_ids", "ids"), table=TABLE), "text", tokenizer=tokenizer)


def test_a_text_graph_that_ignores_its_mask_is_refused(add, tokenizer):
    body = TEXT.replace("kept = Mul (rows, weights)", "kept = Identity (rows)")
    with pytest.raises(SourceRefused, match="padding masked"):
        add(graph(body, table=TABLE), "text", tokenizer=tokenizer)


def test_a_text_graph_with_fewer_tokens_than_its_tokenizer_is_refused(add, tokenizer):
    with pytest.raises(SourceRefused, match="does not run on input_ids"):
        add(graph(TEXT, table=TABLE[:50]), "text", tokenizer=tokenizer)


def test_a_text_graph_with_fewer_positions_than_tokens_is_refused(add, tokenizer):
    body = TEXT.replace(
        "kept = Mul (rows, weights)",
        """zero = Constant <value_ints = [0]> ()
  shape = Shape (input_ids)
  length = Slice (shape, axes, last)
  here = Slice (positions, zero, length)
  placed = Add (rows, here)
  kept = Mul (placed, weights)""",
    )
    model = graph(body, table=TABLE, positions=RNG.integers(-4, 5, (300, 4)).astype(np.float32))
    with pytest.raises(SourceRefused, match=r"does not run on input_ids \(1, 512\)"):
        add(model, "text", tokenizer=tokenizer)
    assert add(model, "text", tokenizer=tokenizer, max_tokens=300).card.max_tokens == 300


def test_settings_of_sounds_that_mean_nothing_are_refused(add):
    for preprocess in ({"rate": "fast"}, {"size": 224}, {"rate": 10}):
        with pytest.raises(SourceRefused, match="preprocess of sounds"):
            add(graph(SOUND), "audio", preprocess=preprocess)


def test_a_file_over_the_limit_is_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(SourceRefused, match=r"3\.0 GiB; ONNX files hold at most 2 GiB"):
        load_graph(path)
    with pytest.raises(SourceRefused, match="is not a file"):
        load_graph(tmp_path / "none.onnx")
