"""The cards of the steps, or what the selected layers' steps are when they differ."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from core.methods.registry import by_key
from core.recipe import Step
from gui.charts.card import with_role
from gui.inspector.group_box import GroupState
from gui.inspector.step_card import StepCard
from gui.inspector.summary import Summary, Variant

_MOST_VARIANTS = 6


class StepList(QWidget):
    """Shows a selection's steps; keeps the cards while their methods stay the same, so that a drag goes on.

    edited(index, params, key), method_chosen(index, key), moved(index, places), removed(index)
    group_selected(names)   the layers that are cut together
    variant_chosen(steps)   the layers differ, and these steps are wanted for all of them
    """

    edited = Signal(int, object, str)
    method_chosen = Signal(int, str)
    moved = Signal(int, int)
    removed = Signal(int)
    group_selected = Signal(tuple)
    variant_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(10)
        self._shape: tuple[object, ...] = ()
        self._cards: list[StepCard] = []
        self._uses: list[QWidget] = []
        self._left: QLabel | None = None

    @property
    def cards(self) -> tuple[StepCard, ...]:
        """The cards shown, in order."""
        return tuple(self._cards)

    def show_summary(self, summary: Summary) -> bool:
        """Show the steps of a selection; True when the cards were made anew."""
        steps = summary.steps
        shape = (summary.locked, *(s.method for s in steps)) if steps is not None else (summary.variants,)
        anew = shape != self._shape
        if anew:
            self._shape = shape
            self._rebuild(summary)
        for card, step in zip(self._cards, steps or (), strict=True):
            card.set_step(step, summary.layers)
        return anew

    @property
    def cuts_channels(self) -> bool:
        """Whether any of the cards' steps cuts channels."""
        return any(card.group is not None for card in self._cards)

    def show_group(self, state: GroupState) -> None:
        """Show on the cards that cut channels what is cut together."""
        for card in self._cards:
            if card.group is not None:
                card.group.show_state(state)

    def show_left(self, words: str) -> None:
        """Say what becomes of layers that have no steps."""
        if self._left is not None:
            self._left.setText(words)

    def tab_stops(self) -> tuple[QWidget, ...]:
        """What Tab visits, from the top."""
        cards = [stop for card in self._cards for stop in card.tab_stops()]
        return (*cards, *self._uses)

    def focus_step(self, index: int) -> None:
        """Put the keyboard on a step's first editor, or on its menu when it has no parameters."""
        if not 0 <= index < len(self._cards):
            return
        card = self._cards[index]
        fields = [f for f in card.form.fields.values() if not f.isHidden()]
        target = fields[0].editors()[0] if fields else card.menu_button
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def _rebuild(self, summary: Summary) -> None:
        while (item := self._column.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._cards, self._uses, self._left = [], [], None
        if summary.steps is None:
            self._column.addWidget(self._differing(summary))
            return
        for index, step in enumerate(summary.steps):
            self._add_card(index, step, summary)
        if not summary.steps and not summary.locked:
            self._left = self._sentence("")
            self._column.addWidget(self._left)

    def _add_card(self, index: int, step: Step, summary: Summary) -> None:
        methods = [by_key(step.method) for step in summary.steps or ()]
        card = StepCard(step, summary.layers, methods, self)
        card.set_place(index, methods)
        card.edited.connect(lambda params, key, i=index: self.edited.emit(i, params, key))
        card.method_chosen.connect(lambda key, i=index: self.method_chosen.emit(i, key))
        card.moved.connect(lambda places, i=index: self.moved.emit(i, places))
        card.removed.connect(lambda i=index: self.removed.emit(i))
        card.group_selected.connect(self.group_selected)
        self._cards.append(card)
        self._column.addWidget(card)

    def _sentence(self, text: str) -> QLabel:
        label = QLabel(text, self)
        with_role(label, "caption")
        label.setWordWrap(True)
        return label

    def _differing(self, summary: Summary) -> QFrame:
        card = QFrame(self)
        with_role(card, "card")
        column = QVBoxLayout(card)
        column.setContentsMargins(11, 9, 11, 9)
        column.setSpacing(6)
        column.addWidget(self._sentence("The layers have different steps. Choose the ones that all shall have:"))
        for variant in summary.variants[:_MOST_VARIANTS]:
            column.addLayout(self._variant_row(variant, card))
        rest = len(summary.variants) - _MOST_VARIANTS
        if rest > 0:
            column.addWidget(self._sentence(f"and {rest} more"))
        return card

    def _variant_row(self, variant: Variant, parent: QWidget) -> QHBoxLayout:
        words = QLabel(variant.words(), parent)
        words.setWordWrap(True)
        layers = QLabel(f"{len(variant.layers)} layer{'' if len(variant.layers) == 1 else 's'}", parent)
        with_role(layers, "small")
        layers.setToolTip("\n".join(variant.layers[:20]))
        use = QPushButton("Use", parent)
        use.setAccessibleName(f"Use {variant.words()} for all")
        use.clicked.connect(lambda: self.variant_chosen.emit(variant.steps))
        self._uses.append(use)
        row = QHBoxLayout()
        row.addWidget(words, 1)
        row.addWidget(layers)
        row.addWidget(use)
        return row
