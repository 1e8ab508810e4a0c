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
        losses = [(name, self.metrics.get(name), live.metrics.get(name)) for name in ("log_loss", "rmse")]
        measured = [(name, new, old) for name, new, old in losses if new is not None and old is not None]
        if not measured:
            return True, "The loss of one of the two could not be measured on held-out items."
        name, new, old = measured[0]
        if name == "rmse":
            words = "worse than" if new > old else "not worse than"
            return new <= old, self._sentence(words, live, f"root mean squared error {new:.6g} against {old:.6g}")
        right, before = self.metrics["accuracy"] or 0.0, live.metrics["accuracy"] or 0.0
        worse = new > old and right <= before
        words = "worse in log loss and not better in accuracy than" if worse else "not worse in both figures than"
        figures = f"log loss {new:.4f} against {old:.4f}, accuracy {right:.4f} against {before:.4f}"
        return not worse, self._sentence(words, live, figures)

    @staticmethod
    def _sentence(words: str, live: Version, figures: str) -> str:
        return f"It is {words} version {live.manifest.number} on the same held-out items: {figures}."
