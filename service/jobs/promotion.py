"""Whether `live` moves to a new version by itself."""

from dataclasses import dataclass
from typing import Any

from service.registry.adapters import Version


@dataclass(frozen=True)
class Promotion:
    """The rule, and what it knows of the new version.

    Attributes:
        rule: ``always``, ``never``, or ``auto``: move unless the new version is worse on the same held-out items.
        dataset, seed: What the new version was fitted to, and how its folds were drawn. Folds are a function of both,
            so versions that share them were measured on the same held-out items; others cannot be compared honestly.
        metrics: The new version's cross-validated figures.
    """

    rule: str
    dataset: str
    seed: int
    metrics: dict[str, Any]

    def decide(self, live: Version | None) -> tuple[bool, str]:
        """Whether to move `live`, and why, as a sentence."""
        if live is None:
            return True, "It is the first version."
        if self.rule == "never":
            return False, "The request said promote: never."
        if self.rule == "always":
            return True, "The request said promote: always."
        if (live.manifest.dataset, live.manifest.seed) != (self.dataset, self.seed):
            return True, "It was fitted to another dataset or with another seed, so the two cannot be compared."
        return self._compare(live)

    def _compare(self, live: Version) -> tuple[bool, str]:
        new_loss, old_loss = self.metrics.get("log_loss"), live.metrics.get("log_loss")
        if new_loss is None or old_loss is None:
            return True, "The log loss of one of the two could not be measured on held-out items."
        new, old = self.metrics["accuracy"] or 0.0, live.metrics["accuracy"] or 0.0
        worse = new_loss > old_loss and new <= old
        words = "worse in log loss and not better in accuracy than" if worse else "not worse in both figures than"
        return not worse, (
            f"It is {words} version {live.manifest.number} on the same held-out items: "
            f"log loss {new_loss:.4f} against {old_loss:.4f}, accuracy {new:.4f} against {old:.4f}."
        )
