"""torchvision beside a torch without CUDA.

timm needs torchvision, and transformers imports it where it is installed. The wheels of PyPI are linked against CUDA:
beside a CPU build of torch their library does not load, and then importing torchvision fails at the first operator that
it describes but does not find, and transformers' auto classes with it. No backbone uses these operators.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_OPERATORS = ("nms", "qnms")
"""Those that torchvision describes while it is imported."""


@cache
def complete() -> "torch.library.Library | None":
    """Declare torchvision's missing operators, so that it can be imported. Call it before transformers or timm.

    Returns:
        The declarations, which live as long as this object (the cache holds it); None where torchvision is not
        installed or has its operators. Cost: 5 ms.
    """
    import torch

    folder = _folder()
    if folder is None or _loads(folder):
        return None
    declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in _OPERATORS:
        declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return declared


def _folder() -> Path | None:
    """Where torchvision is installed."""
    spec = find_spec("torchvision")
    return Path(spec.origin).parent if spec and spec.origin else None


def _loads(folder: Path) -> bool:
    """Whether its library of operators loads; loading it twice does nothing."""
    import torch

    libraries = [path for path in folder.glob("_C*") if path.suffix in {".so", ".pyd"}]
    try:
        for path in libraries:
            torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError):
        return False
    return bool(libraries)
