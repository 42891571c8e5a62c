"""What a person asks a plan for."""

from __future__ import annotations

from dataclasses import dataclass

from gui.planning.words import wish_words


@dataclass(frozen=True)
class Wish:
    """What a person asks for.

    goal, limit  as in `PlanSpec`
    also         a second budget, or ()
    families     () for all
    minutes      to take; None: until it is stopped
    pinned       layers that keep the steps that they have
    """

    goal: str
    limit: str
    also: tuple[tuple[str, str], ...] = ()
    families: tuple[str, ...] = ()
    minutes: float | None = 5.0
    pinned: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The budgets in a few words: "25% of the size, 2x faster"."""
        return " and ".join(wish_words(goal, limit) for goal, limit in ((self.goal, self.limit), *self.also))
