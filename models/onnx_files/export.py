"""An uploaded ONNX file as a backbone: checked, wrapped into the contract, and run before it is believed.

    file -> structure (check.py) -> wrapped (wrap.py) -> run (trial.py): finite, the same twice, the same alone as in a
    batch, not the same for everything -> kept

Images: input (n, 3, h, w) float. Sounds: input (n, t) float. Texts: ``input_ids``, ``attention_mask`` and perhaps
``token_type_ids``, (n, t) integers, with a ``tokenizer.json``. Output: (n, d) float, pooled already.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.audio.spectrogram import SoundRecipe
from models.catalog import Entry
from models.errors import SourceRefused
from models.export import Exported, Progress, write_graph_file
from models.images.pixels import PixelRecipe, stretched
from models.onnx_files.check import Port, check_batch, choose, first_line, inputs_of, load_graph, outputs_of
from models.onnx_files.trial import Trial, try_graph
from models.onnx_files.wrap import Wrapping, output_name
from models.sources import OnnxFile
from models.text import GRAPH_NAME, INPUTS, TOKENIZER_NAME

if TYPE_CHECKING:
    import onnx

MAX_TOKENS: Final = 512
RATE: Final = 16_000
MAX_SECONDS: Final = 30.0
_KINDS: Final = "token_type_ids"


@dataclass(frozen=True)
class _Wrapped:
    """A graph in the contract's form.

    Attributes:
        model: With its last output still unnamed.
        recipe: What is done to an item before it.
        trial: Inputs that it is tried on.
        max_tokens: Longest text.
    """

    wrapping: Wrapping
    recipe: dict[str, Any]
    trial: Trial
    max_tokens: int | None = None


def export_onnx_file(entry: Entry, source: OnnxFile, staging: Path, on_progress: Progress) -> Exported:
    """Write ``pooled.onnx`` (and ``tokenizer.json``) of an uploaded file into a folder.

    Args:
        entry: Its options say how images are prepared, the rate of sounds, the longest text, and whether embeddings
            are brought to unit length.
        source: The file, and the names of its input and output.
        staging: An existing, empty folder.
        on_progress: Called with the stage and the share done in [0, 1].

    Raises:
        SourceRefused: It cannot be one; the message says what was seen and what to change.
    """
    on_progress("convert", 0.0)
    model = load_graph(Path(source.path))
    output = choose(outputs_of(model), source.output, "output")
    width = _width(output)
    wrapped = _WRAPPERS[entry.modality](entry, source, model, staging)
    normalise = bool(entry.options.normalise)
    graph = wrapped.wrapping.finish(output, output_name(entry.modality), width or 1, normalise=normalise)
    if width is None:
        graph.graph.output[0].type.tensor_type.shape.dim[1].Clear()
    on_progress("convert", 0.4)
    _write(graph, staging / GRAPH_NAME)
    on_progress("verify", 0.5)
    seen = try_graph(staging / GRAPH_NAME, output_name(entry.modality), wrapped.trial, source.output or output.name)
    recipe = {
        **wrapped.recipe,
        "normalisation": "L2" if normalise else "none",
        "precision": "float32",
        "opset": max(one.version for one in model.opset_import if one.domain in ("", "ai.onnx")),
        "exporter": "uploaded",
    }
    return Exported({"pooled": (seen,)}, recipe, wrapped.max_tokens)


def _images(entry: Entry, source: OnnxFile, model: "onnx.ModelProto", _staging: Path) -> _Wrapped:
    port = _only_input(model, source.input)
    shape = _shape(port, 4, "(n, 3, h, w)")
    if shape[1] not in (3, None):
        last = " Its last axis has 3: transpose it to channels first." if shape[3] == 3 else ""
        raise SourceRefused(f"{port.name!r} takes {_spelled(shape)}, but images have 3 channels: (n, 3, h, w).{last}")
    recipe = _pixel_recipe(port, shape, dict(entry.options.preprocess))
    wrapping = Wrapping(model)
    wrapping.images(port, recipe)
    return _Wrapped(wrapping, {"pixels": recipe.to_dict()}, Trial.images(recipe.size))


def _pixel_recipe(port: Port, shape: tuple[int | None, ...], preprocess: dict[str, Any]) -> PixelRecipe:
    """How images are prepared: the size is the graph's own, or the caller's where the graph leaves it free.

    Raises:
        SourceRefused: Neither says the size, or they say different ones.
    """
    own = shape[2:]
    if None in own and "size" not in preprocess:
        raise SourceRefused(
            f'{port.name!r} takes images of any size ({_spelled(shape)}). Say which as preprocess: {{"size": 224}}.'
        )
    size = preprocess.pop("size", list(own))
    pair = [size, size] if isinstance(size, int) else size
    recipe = stretched(1).replaced({"size": pair, "resize": pair, **preprocess})
    if any(taken is not None and taken != given for taken, given in zip(own, recipe.size, strict=True)):
        raise SourceRefused(f"{port.name!r} takes {_spelled(shape)}, but preprocess says the size {recipe.size}.")
    return recipe


def _sounds(entry: Entry, source: OnnxFile, model: "onnx.ModelProto", _staging: Path) -> _Wrapped:
    port = _only_input(model, source.input)
    fixed = _shape(port, 2, "(n, t)")[1]
    preprocess = dict(entry.options.preprocess)
    rate = preprocess.pop("rate", RATE)
    normalise = preprocess.pop("normalise_samples", False)
    if preprocess or not isinstance(rate, int) or not 1000 <= rate <= 192_000:
        raise SourceRefused(
            f"preprocess of sounds takes `rate`, 1000 to 192000 Hz, and `normalise_samples`; it was "
            f"{dict(entry.options.preprocess)!r}."
        )
    most = fixed or round((entry.options.max_seconds or MAX_SECONDS) * rate)
    recipe = SoundRecipe(rate, most, fixed_samples=fixed, normalise_samples=bool(normalise))
    wrapping = Wrapping(model)
    wrapping.sounds(port, fixed)
    return _Wrapped(wrapping, recipe.to_dict(), Trial.sounds(fixed))


def _texts(entry: Entry, source: OnnxFile, model: "onnx.ModelProto", staging: Path) -> _Wrapped:
    ports = inputs_of(model)
    names = [port.name for port in ports]
    if not set(INPUTS) <= set(names) or set(names) - {*INPUTS, _KINDS}:
        raise SourceRefused(
            f"The graph takes {', '.join(map(repr, names))}; graphs for texts take 'input_ids' and 'attention_mask', "
            "and may take 'token_type_ids'. Export it with inputs of these names."
        )
    for port in ports:
        _check_type(port, integers=True)
        _shape(port, 2, "(n, t)")
    max_tokens = entry.options.max_tokens or MAX_TOKENS
    trial = Trial.texts(_tokenizer(source, staging, max_tokens), max_tokens)
    wrapping = Wrapping(model)
    wrapping.texts(ports)
    return _Wrapped(wrapping, {"tokenizer": TOKENIZER_NAME, "truncation": max_tokens}, trial, max_tokens)


_WRAPPERS: Final = {"image": _images, "audio": _sounds, "text": _texts}


def _tokenizer(source: OnnxFile, staging: Path, max_tokens: int) -> Any:
    """The uploaded tokenizer with its cut set and its padding off, written into the folder.

    Raises:
        SourceRefused: There is none, or it cannot be read.
    """
    from tokenizers import Tokenizer

    if not source.tokenizer:
        raise SourceRefused("Graphs for texts need their tokenizer. Upload its tokenizer.json as `tokenizer`.")
    try:
        tokenizer = Tokenizer.from_file(source.tokenizer)
    except Exception as error:  # tokenizers raises Exception itself
        raise SourceRefused(f"The tokenizer cannot be read ({str(error)[:200]}). Upload a tokenizer.json.") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    (staging / TOKENIZER_NAME).write_text(tokenizer.to_str(), encoding="utf-8")
    return tokenizer


def _only_input(model: "onnx.ModelProto", name: str) -> Port:
    ports = inputs_of(model)
    port = choose(ports, name, "input")
    if len(ports) > 1:
        others = ", ".join(repr(other.name) for other in ports if other is not port)
        raise SourceRefused(f"Beside {port.name!r} the graph takes {others}. Export it with one input.")
    _check_type(port, integers=False)
    return port


def _check_type(port: Port, *, integers: bool) -> None:
    import onnx

    known = (
        (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
        if integers
        else (
            onnx.TensorProto.FLOAT,
            onnx.TensorProto.FLOAT16,
        )
    )
    if port.type not in known:
        taken = " or ".join(onnx.TensorProto.DataType.Name(type_).lower() for type_ in known)
        seen = onnx.TensorProto.DataType.Name(port.type).lower()
        raise SourceRefused(f"{port.name!r} is of type {seen}; {taken} is taken. Export the graph with that type.")


def _shape(port: Port, rank: int, form: str) -> tuple[int | None, ...]:
    """The axes of an input.

    Raises:
        SourceRefused: They are not as many as needed, or the batch is not free.
    """
    if port.shape is not None and len(port.shape) != rank:
        raise SourceRefused(f"{port.name!r} takes {_spelled(port.shape)}; {form} is needed. Export the graph so.")
    check_batch(port)
    return port.shape or (None,) * rank


def _width(output: Port) -> int | None:
    """Numbers of an embedding, as far as the file says."""
    _check_type(output, integers=False)
    if output.shape is None:
        return None
    if len(output.shape) != 2:
        raise SourceRefused(
            f"{output.name!r} gives {_spelled(output.shape)}; one row of numbers an item is needed, (n, d). End the "
            "graph in a pooling, such as the mean over positions."
        )
    check_batch(output)
    return output.shape[1]


def _spelled(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if dim is None else str(dim) for dim in shape)})"


def _write(graph: "onnx.ModelProto", path: Path) -> None:
    import onnx

    try:
        write_graph_file(graph, path)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise SourceRefused(f"The graph cannot be wrapped: {first_line(error)}. Export it again.") from error
