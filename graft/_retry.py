"""How often, and after what pause, a call is repeated."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """A bound on repeating one call.

    Attributes:
        attempts: Calls in all, the first one included.
        first_s: Pause before the second attempt where the service names none; it doubles from there.
        longest_s: Longest single pause. A service that asks for more is believed, and the error is raised at once.
        total_s: Longest sum of pauses.
    """

    attempts: int = 5
    first_s: float = 0.1
    longest_s: float = 30.0
    total_s: float = 60.0

    def pause_s(self, attempt: int, asked_s: float | None, spent_s: float) -> float | None:
        """Pause before the next attempt.

        Args:
            attempt: Attempts made so far, from 1.
            asked_s: What the service asked for (Retry-After), if it did.
            spent_s: Pauses made so far.

        Returns:
            Seconds, or None when there should be no further attempt.
        """
        if attempt >= self.attempts:
            return None
        pause_s = asked_s if asked_s is not None else min(self.first_s * 2 ** (attempt - 1), self.longest_s)
        return pause_s if pause_s <= self.longest_s and spent_s + pause_s <= self.total_s else None
