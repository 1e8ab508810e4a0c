"""What is asked of a fit that makes a version again."""

from typing import Any

from adapters.manifest import Manifest
from service.errors import NotReproducible

AT_LEAST_S = 3_600.0
"""Time that a fit of known candidates may take beyond what was asked for."""


def request_of(manifest: Manifest) -> dict[str, Any]:
    """What was asked of the fit that made a version, as `Adapting` takes it.

    Raises:
        NotReproducible: It was made before that was kept.
    """
    if not manifest.request:
        raise NotReproducible(
            f"{manifest.name}:{manifest.number} was made before what is asked of a fit was kept with it; fit a new "
            "version, which can be fitted again."
        )
    asked = manifest.request
    if "from" in asked:
        raise NotReproducible(
            f"{manifest.name}:{manifest.number} was made without a fit, of {asked['from'] or 'labels alone'}; "
            "what was fitted can be fitted again."
        )
    members = asked.get("members", [])
    return {
        "dataset": manifest.dataset,
        "backbone": manifest.backbone,
        "backbone_digest": manifest.backbone_digest,
        "long": manifest.long,
        "method": asked["method"],
        "seed": manifest.seed,
        # The same candidates are compared to their end, however long that takes now.
        "max_seconds": AT_LEAST_S + asked["max_seconds"],
        "tap": asked["tap"],
        "parents": [] if members else list(manifest.parents),
        "members": members,
        "signatures": manifest.signatures,
        "described": asked.get("described", False),
        "facts": asked.get("facts", {}),
        "peft": asked["peft"],
        "promote": "never",
    }
