"""Where a backbone's graph comes from. Plain values: they cross processes and lie in the registry as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class BuiltIn:
    """A graph of Graft's own, which needs no weights: the training-free ones, and the fake one of the tests."""

    kind: ClassVar[str] = "built-in"
    name: str


@dataclass(frozen=True)
class Package:
    """Weights inside an installed Python package.

    Attributes:
        package: Import name; it is located, never imported.
        subfolder: Folder inside it, in Hugging Face layout.
        sha256: Of its ``model.safetensors``, hex.
    """

    kind: ClassVar[str] = "package"
    package: str
    subfolder: str
    sha256: str


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub.

    Attributes:
        repo: ``owner/name``.
        revision: Commit, branch or tag; the commit that it meant first is locked. None = ``main``.
        timm: Architecture of timm that the weights are for; empty where transformers reads them.
        options: Further arguments of that architecture.
    """

    kind: ClassVar[str] = "hub"
    repo: str
    revision: str | None = None
    timm: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """A local folder with ``config.json`` and ``model.safetensors``, or, for timm, ``model.safetensors`` alone.

    Attributes:
        path: Absolute, resolved, and under a folder that the operator allows.
        timm: Architecture of timm that the weights are for; empty where transformers reads them.
        options: Further arguments of that architecture, such as ``{"pad_type": "same"}``.
    """

    kind: ClassVar[str] = "folder"
    path: str
    timm: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OnnxFile:
    """A graph that somebody uploaded.

    Attributes:
        path: Of the local file.
        input: Name of its input: (n, 3, h, w) float32 for images, (n, t) float32 for sounds; texts take
            ``input_ids`` and ``attention_mask`` (and a ``tokenizer``).
        output: Name of its output, (n, d) float.
        tokenizer: Path of a ``tokenizer.json``, for texts.
    """

    kind: ClassVar[str] = "onnx"
    path: str
    input: str
    output: str
    tokenizer: str = ""


@dataclass(frozen=True)
class Words:
    """A file of static word vectors.

    Attributes:
        path: Of the local file, under a folder that the operator allows.
        format: ``word2vec-binary``, ``word2vec-text`` or ``glove``.
    """

    kind: ClassVar[str] = "words"
    path: str
    format: Literal["word2vec-binary", "word2vec-text", "glove"]


@dataclass(frozen=True)
class Trunk:
    """The trunk of a published adapter, up to its last hidden layer.

    Attributes:
        adapter: ``name:number``.
        path: Of the hidden layer's ONNX file.
        parent: Digest of the backbone that it was fitted on; empty where there is none.
        tap: What of the backbone it takes: ``pooled`` or ``blocks``.
        parts: First column and the one behind the last, of each piece of that embedding that it takes, one after the
            other; all of it where there are none.
    """

    kind: ClassVar[str] = "adapter"
    adapter: str
    path: str
    parent: str
    tap: str = "pooled"
    parts: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        # JSON knows lists only.
        object.__setattr__(self, "parts", tuple((first, behind) for first, behind in self.parts))


Source = BuiltIn | Package | Hub | Folder | OnnxFile | Words | Trunk
_KINDS: dict[str, type[Source]] = {
    source.kind: source for source in (BuiltIn, Package, Hub, Folder, OnnxFile, Words, Trunk)
}


def source_from_dict(fields: Mapping[str, Any]) -> Source:
    """What `source_to_dict` gave.

    Raises:
        ValueError: An unknown kind.
        TypeError: A field too many or too few.
    """
    rest = dict(fields)
    kind = rest.pop("kind", "")
    if kind not in _KINDS:
        raise ValueError(f"the kind of a source is {kind!r}; known are {', '.join(_KINDS)}")
    return _KINDS[kind](**rest)


def source_to_dict(source: Source) -> dict[str, Any]:
    """Plain JSON values, with the `kind`."""
    return {"kind": source.kind, **asdict(source)}
