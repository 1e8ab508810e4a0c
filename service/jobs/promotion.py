"""Whether `live` moves to a new version by itself."""

from dataclasses import dataclass
from typing import Any

from service.registry.adapters import Version


@dataclass(frozen=True)
class Promotion:
    """The rule, and what it knows of the new version.

    Attributes:
        rule: ``always``, ``never``, or ``auto``: move unless the new version is worse on the same held-out items.
        dataset_sha256: What the new version was fitted to. Folds are a function of the dataset and the seed, so two
            versions of one dataset were measured on the same held-out items; other pairs cannot be compared honestly.
        metrics: The new version's cross-validated figures.
    """

    rule: str
    dataset_sha256: str
    metrics: dict[str, Any]

    def decide(self, live: Version | None) -> tuple[bool, str]:
        """Whether to move `live`, and why, as a sentence."""
        if live is None:
            return True, "It is the first version."
        if self.rule == "never":
            return False, "The request said promote: never."
        if self.rule == "always":
            return True, "The request said promote: always."
        if live.manifest.dataset_sha256 != self.dataset_sha256:
            return True, "It was fitted to other data than the live version, so the two cannot be compared."
        return self._compare(live)

    def _compare(self, live: Version) -> tuple[bool, str]:
        new_loss, old_loss = self.metrics.get("log_loss"), live.metrics.get("log_loss")
        if new_loss is None or old_loss is None:
            return True, "Neither version's log loss could be measured on held-out items."
        figures = f"log loss {new_loss:.4f} against {old_loss:.4f} on the same held-out items"
        if new_loss > old_loss and (self.metrics["accuracy"] or 0) <= (live.metrics["accuracy"] or 0):
            return False, f"It is worse than version {live.manifest.number}: {figures}, and not more accurate."
        return True, f"It is not worse than version {live.manifest.number}: {figures}."
