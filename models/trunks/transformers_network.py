"""Weights in Hugging Face layout -> a network of transformers. Runs no code and reads no pickle that comes with them.

``config.json`` is read here and turned into one of transformers' own classes; whatever in it would have other code
fetched or run (``auto_map``, attention kernels of the hub) is dropped first. Weights are safetensors only.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import SourceRefused
from models.trunks.network import listed
from models.trunks.torchvision_ops import complete

if TYPE_CHECKING:
    import torch

CONFIG_NAME = "config.json"
_DROPPED = frozenset(
    {
        "auto_map",
        "custom_pipelines",
        "attn_implementation",
        "_attn_implementation",
        "experts_implementation",
        "_experts_implementation",
        "kernel_config",
        "use_kernels",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "use_return_dict",
        "torchscript",
        "torch_dtype",
        "dtype",
    }
)
"""Of a configuration, wherever it stands: what chooses code, or the form of what a network returns."""
_NAMES = frozenset({"backbone", "architecture"})
"""Of a configuration, wherever it stands: names of networks of timm's inside the network."""


@dataclass(frozen=True)
class Loaded:
    """A network of transformers with its weights.

    Attributes:
        architecture: `model_type` of its configuration.
        model: In evaluation mode, float32.
        config: Its configuration.
        missing: Tensors that the weights lack, by name.
    """

    architecture: str
    model: Any
    config: Any
    missing: "Mapping[str, torch.Tensor]"


def load_transformers(folder: Path) -> Loaded:
    """Load the network of a folder.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors`` or its shards.

    Cost: 0.5 s for 90 MB, and 3 s for the first import of transformers.

    Raises:
        SourceRefused: The configuration is of no architecture of transformers, or the weights are of another one.
    """
    complete()
    import torch
    from transformers import AutoModel

    config = _config(folder)
    try:
        with _quiet():
            model, info = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except MemoryError:
        raise
    except Exception as error:  # foreign files in a foreign library: no common class
        raise SourceRefused(
            f"The weights do not load as {config.model_type}: {_first_line(error)} "
            "They must be safetensors of the architecture that config.json names."
        ) from error
    _check_leftovers(model, set(info["unexpected_keys"]), config.model_type)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    missing = {name: tensors[name] for name in info["missing_keys"] if name in tensors}
    return Loaded(config.model_type, model.eval(), config, missing)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a folder of weights; empty where there is no such file.

    Raises:
        SourceRefused: It is not JSON, or not an object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SourceRefused(f"{path.name} is not JSON: {error}. Fetch it again.") from error
    if not isinstance(content, dict):
        raise SourceRefused(f"{path.name} holds a {type(content).__name__}; an object is needed. Fetch it again.")
    return content


def outside(names: set[str], model: "torch.nn.Module", prefix: str) -> set[str]:
    """Of tensors that a network has no place for those inside one of its parts; the rest belongs to a head beside it.

    Args:
        names: Of the tensors, as the file has them.
        model: The network.
        prefix: What files put before the names of its parts.
    """
    parts = dict(model.named_children())
    # Older files carry constants (positions, masks) that the architecture now computes.
    computed = {name for name, _ in model.named_buffers()} - model.state_dict().keys()
    bare = {name: name.removeprefix(f"{prefix}.") for name in names}
    return {name for name, rest in bare.items() if rest.partition(".")[0] in parts and rest not in computed}


def _config(folder: Path) -> Any:
    from transformers import CONFIG_MAPPING, __version__

    fields = read_json(folder / CONFIG_NAME)
    if not fields:
        raise SourceRefused(f"The folder has no {CONFIG_NAME}. It names the architecture; fetch it with the weights.")
    if "quantization_config" in fields:
        raise SourceRefused("The weights are quantised. Take the ones in float32, float16 or bfloat16.")
    if (folder / "adapter_config.json").exists():
        raise SourceRefused("The folder holds an adapter of PEFT. Merge it into its base and save that.")
    kind = str(fields.get("model_type", ""))
    if kind not in CONFIG_MAPPING:
        raise SourceRefused(
            f"{CONFIG_NAME} names the architecture {kind!r}, which transformers {__version__} does not have. Code that "
            "comes with weights is never run: upload an ONNX file of it instead, or choose another backbone."
        )
    _check_names(fields)
    try:
        return CONFIG_MAPPING[kind].from_dict(_plain(fields))
    except Exception as error:  # each architecture checks its configuration its own way
        raise SourceRefused(f"{CONFIG_NAME} is no configuration of {kind}: {_first_line(error)}") from error


def _plain(fields: Any) -> Any:
    """A configuration without `_DROPPED`, at any depth."""
    if isinstance(fields, Mapping):
        return {name: _plain(value) for name, value in fields.items() if name not in _DROPPED}
    return [_plain(value) for value in fields] if isinstance(fields, list) else fields


def _check_names(fields: Any) -> None:
    """Refuse a network inside the network that timm would look for elsewhere: ``hf-hub:owner/name``, ``local-dir:/a``.

    Raises:
        SourceRefused: The configuration names one.
    """
    inner = fields.values() if isinstance(fields, Mapping) else fields if isinstance(fields, list) else ()
    for value in inner:
        _check_names(value)
    for name in _NAMES & fields.keys() if isinstance(fields, Mapping) else ():
        if isinstance(fields[name], str) and {":", "/"} & set(fields[name]):
            raise SourceRefused(
                f"{CONFIG_NAME} builds on another network, {fields[name][:100]!r}, that does not lie in the folder. "
                "Choose another backbone, or upload an ONNX file of this one."
            )


def _check_leftovers(model: Any, unexpected: set[str], architecture: str) -> None:
    """Refuse weights that lie inside the network and have no place there.

    Raises:
        SourceRefused: There are some, so that config.json is of a smaller network than the weights.
    """
    if left := outside(unexpected, model, model.base_model_prefix):
        raise SourceRefused(
            f"{CONFIG_NAME} is not of these weights: {listed(left)} in the file, but {architecture} as configured has "
            "no place for that. Take both from one source."
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bar and its report of leftover heads out of the log; both are judged here."""
    from transformers.utils import logging as of_transformers

    logger, bar = logging.getLogger("transformers"), of_transformers.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logger.setLevel(level)
        if bar:
            of_transformers.enable_progress_bar()  # type: ignore[no-untyped-call]
