"""Low-rank changes as files of PEFT (Hugging Face): ``adapter_config.json`` and ``adapter_model.safetensors``.

What is written here `peft.PeftModel.from_pretrained` loads onto the same network; what PEFT wrote is read here, as far
as it is plain LoRA. Tensors are read from safetensors only: a pickle could run code.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.errors import ParameterInvalid
from adapters.low_rank import Tables, width_of

if TYPE_CHECKING:
    import torch

CONFIG_NAME = "adapter_config.json"
TABLES_NAME = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_HIGHEST_RANK = 1024
_VARIANTS = {
    "use_dora": "DoRA",
    "use_rslora": "rank-stabilised LoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "lora_bias": "LoRA with biases",
    "rank_pattern": "ranks that differ between layers",
    "alpha_pattern": "alphas that differ between layers",
    "target_parameters": "LoRA of bare parameters",
    "trainable_token_indices": "trained tokens",
    "layer_replication": "replicated layers",
    "megatron_config": "Megatron",
    "arrow_config": "Arrow",
    "alora_invocation_tokens": "activated LoRA",
    "velora_config": "VeLoRA",
}
"""Fields of the configuration that make something else than LoRA of it."""


def to_peft(tables: Tables, backbone: str) -> dict[str, bytes]:
    """The files, by name. The same tables give the same bytes.

    Args:
        tables: Of a network of transformers.
        backbone: Written into the configuration as what they belong to.
    """
    from safetensors.numpy import save

    config = {
        "base_model_name_or_path": backbone,
        "bias": "none",
        "fan_in_fan_out": tables.transposed,
        "inference_mode": True,
        "lora_alpha": tables.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": tables.rank,
        "target_modules": sorted(tables.paths),
        "task_type": None,
        "use_dora": False,
        "use_rslora": False,
    }
    arrays = {_key(path, "A"): np.ascontiguousarray(a, np.float32) for path, a in tables.a.items()}
    arrays |= {_key(path, "B"): np.ascontiguousarray(b, np.float32) for path, b in tables.b.items()}
    return {
        CONFIG_NAME: (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        TABLES_NAME: save(dict(sorted(arrays.items())), metadata={"format": "pt"}),
    }


def from_peft(files: Mapping[str, bytes], layers: "Mapping[str, torch.nn.Module]") -> Tables:
    """Read the files of a LoRA adapter.

    Args:
        files: By name; others than the two are left aside.
        layers: Of the network that they are for, see `low_rank.layers_of`.

    Raises:
        ParameterInvalid: A file is missing, pickled or broken; it is no plain LoRA; or it is of another network.
    """
    rank, alpha, beside = _configured(files)
    halves: dict[str, dict[str, npt.NDArray[np.float32]]] = {"A": {}, "B": {}}
    for key, array in _arrays(files).items():
        if any(f".{name}." in f".{key}." for name in beside):
            continue  # a head that was trained beside; another one is fitted here
        path, half = _read_key(key)
        halves[half][_known(path, layers)] = array
    if not halves["A"] or halves["A"].keys() != halves["B"].keys():
        lonely = sorted(halves["A"].keys() ^ halves["B"].keys())[:3]
        raise ParameterInvalid(f"{TABLES_NAME} does not hold both halves of each change; alone are {lonely or 'none'}.")
    _check_shapes(halves, layers, rank)
    ordered = [path for path in layers if path in halves["A"]]
    transposed = any(type(layers[path]).__name__ == "Conv1D" for path in ordered)
    a, b = ({path: halves[half][path] for path in ordered} for half in "AB")
    return Tables(rank, alpha, a, b, transposed)


def _key(path: str, half: str) -> str:
    return f"{_PREFIX}{path}.lora_{half}.weight"


def _configured(files: Mapping[str, bytes]) -> tuple[int, float, tuple[str, ...]]:
    """Rank, alpha, and names of modules that were trained beside."""
    if CONFIG_NAME not in files:
        raise ParameterInvalid(f"The LoRA adapter has no {CONFIG_NAME}; it holds {sorted(files)[:5]}.")
    try:
        config: Any = json.loads(files[CONFIG_NAME])
        kind, rank, alpha = str(config.get("peft_type")), int(config.get("r")), float(config.get("lora_alpha"))
        beside = tuple(str(name) for name in config.get("modules_to_save") or ())
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ParameterInvalid(f"{CONFIG_NAME} is no configuration of PEFT: {error}.") from error
    if kind.upper() != "LORA":
        raise ParameterInvalid(f"{CONFIG_NAME} is of {kind[:40]!r}; only LORA can be carried on with.")
    used = [name for field, name in _VARIANTS.items() if config.get(field)]
    if config.get("bias", "none") != "none":
        used.append("biases trained beside")
    if used:
        raise ParameterInvalid(f"{CONFIG_NAME} asks for {', '.join(used)}; only plain LoRA can be carried on with.")
    if not (1 <= rank <= _HIGHEST_RANK and 0 < alpha < float("inf")):
        raise ParameterInvalid(
            f"{CONFIG_NAME} has rank {rank} and alpha {alpha}; the rank must be 1 to {_HIGHEST_RANK}, alpha positive."
        )
    return rank, alpha, beside


def _arrays(files: Mapping[str, bytes]) -> dict[str, npt.NDArray[np.float32]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    if TABLES_NAME not in files:
        pickled = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
        why = f": {pickled[0]} is pickled and could run code; save it again as safetensors" if pickled else ""
        raise ParameterInvalid(f"The LoRA adapter has no {TABLES_NAME}{why}.")
    try:
        tensors = load(files[TABLES_NAME])
    except (SafetensorError, ValueError, KeyError) as error:
        raise ParameterInvalid(f"{TABLES_NAME} is not a safetensors file: {error}.") from error
    # Widened here: numpy has no bfloat16.
    arrays = {key: tensor.float().numpy() for key, tensor in tensors.items()}
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise ParameterInvalid(f"{key!r} in {TABLES_NAME} has values that are not finite.")
    return arrays


def _read_key(key: str) -> tuple[str, str]:
    """Path of the layer, and which half."""
    for half in "AB":
        for ending in (f".lora_{half}.weight", f".lora_{half}.default.weight"):
            if key.startswith(_PREFIX) and key.endswith(ending):
                return key[len(_PREFIX) : -len(ending)], half
    raise ParameterInvalid(
        f"{TABLES_NAME} holds {key[:100]!r}; names must be {_PREFIX}<layer>.lora_A.weight or lora_B. "
        "Other variants than plain LoRA cannot be carried on with."
    )


def _known(path: str, layers: "Mapping[str, torch.nn.Module]") -> str:
    """The layer of the network that is meant: a model with a head of its own puts a name before the network's."""
    bare = path
    while bare not in layers and "." in bare:
        bare = bare.partition(".")[2]
    if bare not in layers:
        some = ", ".join(list(layers)[:3])
        raise ParameterInvalid(
            f"{TABLES_NAME} changes {path[:100]!r}, which the backbone does not have as a linear layer; it has {some} "
            "and others. The adapter belongs to another network."
        )
    return bare


def _check_shapes(
    halves: Mapping[str, Mapping[str, npt.NDArray[np.float32]]], layers: "Mapping[str, torch.nn.Module]", rank: int
) -> None:
    for path, a in halves["A"].items():
        wide, tall = width_of(layers[path])
        b = halves["B"][path]
        if a.shape != (rank, wide) or b.shape != (tall, rank):
            raise ParameterInvalid(
                f"The changes of {path!r} are {a.shape} and {b.shape}; the backbone needs {(rank, wide)} and "
                f"{(tall, rank)}. The adapter belongs to another network."
            )
