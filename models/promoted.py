"""The trunk of a published adapter, up to its last hidden layer, as a backbone of its own.

parent's graph -> its embedding (some of its columns) -> hidden layer -> one graph, with the parent's way of preparing
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from models.base import Backbone
from models.catalog import Entry
from models.errors import BackboneUnknown, ExportMismatch, SourceRefused
from models.export import TOLERANCE, Exported, Progress, largest_difference, write_graph_file
from models.feeds import feed
from models.session import GRAPH_NAME, open_session
from models.sources import Trunk
from models.text import TOKENIZER_NAME
from models.warm import sample_items

if TYPE_CHECKING:
    import onnx

INPUT: Final = "embedding"
OUTPUT: Final = "item_embedding"
"""Of a trunk's file: (n, d) to (n, h) float32."""

_SENTENCE: Final = "sentence_embedding"
_PARENTS_OWN: Final = ("weights_sha256", "difference_from_torch")
"""Fields of a recipe that speak of the parent's weights: what follows them is not covered by these."""


def export_promoted(entry: Entry, source: Trunk, folder: Path, staging: Path, on_progress: Progress) -> Exported:
    """Write the graph of an adapter's trunk: the parent backbone's graph followed by the hidden layer.

    Items are prepared as for the parent. Unless the entry says so, the embedding is not brought to unit length: how
    strongly the hidden units answer is part of what they tell, and heads take embeddings of any length.

    Args:
        entry: Its options say whether embeddings are brought to unit length.
        source: The trunk.
        folder: The folder of hosted backbones, with the parent.
        staging: An existing, empty folder.
        on_progress: Called with the stage and the share done in [0, 1].

    Raises:
        SourceRefused: There is no parent, it is not hosted (any more), or the two do not go together.
        ExportMismatch: The graph does not compute what the two do one after the other.
    """
    import onnx

    on_progress("convert", 0.0)
    parent = _open_parent(entry, source, folder)
    home = folder / source.parent
    trunk = _load_trunk(source, parent)
    graph = _joined(onnx.load(home / f"{source.tap}.onnx"), trunk, source, entry)
    write_graph_file(graph, staging / GRAPH_NAME)
    if entry.modality == "text":
        shutil.copyfile(home / TOKENIZER_NAME, staging / TOKENIZER_NAME)
    on_progress("verify", 0.6)
    normalise = bool(entry.options.normalise)
    _check(parent, source, staging / GRAPH_NAME, normalise=normalise)
    recipe = {name: value for name, value in parent.card.recipe.items() if name not in _PARENTS_OWN}
    recipe |= {
        "trunk": {"adapter": source.adapter, "parent": source.parent, "tap": source.tap},
        "normalisation": "L2" if normalise else "none",
    }
    return Exported({"pooled": (_width(trunk.graph.output[0]),)}, recipe, parent.card.max_tokens)


def _open_parent(entry: Entry, source: Trunk, folder: Path) -> Backbone:
    """The backbone that the adapter was fitted on, its files checked."""
    # It hosts what is built, and this module builds: so it is asked for when needed.
    from models.hosted import open_backbone

    if not source.parent:
        raise SourceRefused(
            f"The adapter {source.adapter!r} was fitted on rows or vectors, without a backbone: its hidden layer has "
            "no graph to stand on. Promote an adapter of texts, images or sounds."
        )
    try:
        parent = open_backbone(folder, source.parent, threads=1, tap=source.tap)
    except BackboneUnknown as error:
        raise SourceRefused(
            f"What the adapter {source.adapter!r} was fitted on is not there. {error.message}"
        ) from error
    if parent.card.modality != entry.modality:
        raise SourceRefused(
            f"The adapter {source.adapter!r} takes items of modality {parent.card.modality!r}, and {entry.modality!r} "
            "was said. Leave the modality out."
        )
    return parent


def _load_trunk(source: Trunk, parent: Backbone) -> "onnx.ModelProto":
    """The hidden layer, which takes what the parent gives."""
    import onnx

    try:
        trunk = onnx.load(source.path)
    except OSError as error:
        raise SourceRefused(
            f"The trunk of the adapter {source.adapter!r} is not there any more; it was deleted. Fit it again."
        ) from error
    [given] = parent.card.taps["pooled"]
    given = sum(behind - first for first, behind in source.parts) or given
    taken = _width(trunk.graph.input[0])
    if (trunk.graph.input[0].name, trunk.graph.output[0].name, taken) != (INPUT, OUTPUT, given):
        raise SourceRefused(
            f"The trunk of the adapter {source.adapter!r} takes {taken} numbers and its backbone gives {given}: they "
            "do not go together."
        )
    return trunk


def _width(value: "onnx.ValueInfoProto") -> int:
    """Numbers of an item."""
    return int(value.type.tensor_type.shape.dim[1].dim_value)


def _joined(parent: "onnx.ModelProto", trunk: "onnx.ModelProto", source: Trunk, entry: Entry) -> "onnx.ModelProto":
    """The parent's graph with the trunk behind it, under the name that its modality gives an embedding."""
    from onnx import TensorProto, compose, helper, numpy_helper, version_converter

    opsets = {one.domain or "ai.onnx": one.version for one in parent.opset_import}
    trunk = version_converter.convert_version(trunk, opsets["ai.onnx"])
    graph, width = parent.graph, _width(trunk.graph.output[0])
    # The parent may be a promoted one itself.
    prefix = _unused_prefix(graph)
    trunk = compose.add_prefix(trunk, prefix)
    taken = prefix + "parent"
    _rename(graph, graph.output[0].name, taken)
    if source.parts:
        columns = np.concatenate([np.arange(first, behind) for first, behind in source.parts])
        graph.initializer.append(numpy_helper.from_array(columns, prefix + "columns"))
        graph.node.append(helper.make_node("Gather", [taken, prefix + "columns"], [prefix + "chosen"], axis=1))
        taken = prefix + "chosen"
    graph.node.append(helper.make_node("Identity", [taken], [prefix + INPUT]))
    graph.node.extend(trunk.graph.node)
    graph.initializer.extend(trunk.graph.initializer)
    name = _SENTENCE if entry.modality == "text" else OUTPUT
    inside = [prefix + OUTPUT]
    if entry.options.normalise:
        graph.node.append(helper.make_node("LpNormalization", inside, [name], axis=-1, p=2))
    else:
        graph.node.append(helper.make_node("Identity", inside, [name]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]))
    return parent


def _unused_prefix(graph: "onnx.GraphProto") -> str:
    """Before names of the trunk, so that none of them is one of the parent's."""
    names = [*(name for node in graph.node for name in node.output), *(tensor.name for tensor in graph.initializer)]
    depth = 1
    while any(name.startswith(f"trunk{depth}/") for name in names):
        depth += 1
    return f"trunk{depth}/"


def _rename(graph: "onnx.GraphProto", old: str, new: str) -> None:
    """Call a value of a graph something else, in the graphs inside its nodes too."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, old, new)
    for value in graph.value_info:
        if value.name == old:
            value.name = new


def _check(parent: Backbone, source: Trunk, path: Path, *, normalise: bool) -> None:
    """Run the graph, and parent and trunk one after the other, on items of many kinds.

    Raises:
        ExportMismatch: They differ.
    """
    whole, trunk = open_session(path, threads=1), open_session(Path(source.path), threads=1)
    card, worst = parent.card, 0.0
    for item in parent.prepare(sample_items(card.modality)):
        z = parent.run([item])
        if source.parts:
            z = np.concatenate([z[:, first:behind] for first, behind in source.parts], axis=1)
        [expected] = trunk.run([OUTPUT], {INPUT: z})
        if normalise:
            expected = expected / np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
        [seen] = whole.run(None, feed(card, [item]))
        worst = max(worst, largest_difference(expected, seen))
    if not worst <= TOLERANCE:
        raise ExportMismatch(
            f"The graph differs from backbone and trunk one after the other by {worst:.1e}; at most {TOLERANCE:.0e} is "
            "kept."
        )
