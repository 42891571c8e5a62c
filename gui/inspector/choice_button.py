"""A button that does one thing at once, and asks in a menu when there are several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QMenu, QPushButton, QWidget

Choice = tuple[str, Callable[[], None]]
"""What is said, and what does it."""


class ChoiceButton(QPushButton):
    """Disabled without a choice, a plain button with one, a menu with more.

    why_none  tool tip while there is no choice
    """

    def __init__(self, text: str, why_none: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._why_none = why_none
        self._choices: tuple[Choice, ...] = ()
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill)
        self.clicked.connect(self._do_the_one)

    def set_choices(self, choices: Sequence[Choice]) -> None:
        """Offer these."""
        self._choices = tuple(choices)
        self.setEnabled(bool(choices))
        self.setToolTip(choices[0][0] if len(choices) == 1 else "" if choices else self._why_none)
        several = len(choices) > 1
        if several != (self.menu() is not None):
            self.setMenu(self._menu if several else None)  # type: ignore[arg-type]  # Qt takes none
            self.setProperty("menu", "true" if several else "false")
            self.style().unpolish(self)
            self.style().polish(self)

    def choices(self) -> tuple[str, ...]:
        """What is offered."""
        return tuple(words for words, _do in self._choices)

    def choose(self, index: int) -> None:
        """Do what the choice at this place does."""
        self._choices[index][1]()

    def _do_the_one(self) -> None:
        if len(self._choices) == 1:
            self.choose(0)

    def _fill(self) -> None:
        self._menu.clear()
        for index, words in enumerate(self.choices()):
            self._menu.addAction(words).triggered.connect(lambda _checked=False, index=index: self.choose(index))
