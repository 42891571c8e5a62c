"""The second card of the Trade-off lens: where the plan takes the bytes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QStackedLayout, QWidget

from gui.charts.bytes_bars import Bar, BytesBars
from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.planning.scene import MOST_BARS, LayerBytes, bytes_words
from gui.units import file_size


class BytesCard(Card):
    """Before and after for each layer, the largest first; the rest as one bar.

    picked(name)  the person chose a layer
    """

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Where the plan takes the bytes from", parent)
        self.bars = BytesBars()
        with_role(self.bars, "plain")
        self.bars.picked.connect(self.picked)
        self.empty = EmptyState("layers")
        self.area = QScrollArea(self)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidgetResizable(True)
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setWidget(self.bars)
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.area)
        self._stack.addWidget(self.empty)
        self.body.addWidget(holder)

    def show_layers(
        self, layers: Sequence[LayerBytes], selected: Sequence[str], words: Callable[[LayerBytes], str]
    ) -> None:
        """Show these, largest first; `words` makes tool tips."""
        self._stack.setCurrentWidget(self.area)
        self.caption.set_template(bytes_words(layers))
        bars = [Bar(e.name, e.title, e.before, ((e.role, e.after),), partial(words, e)) for e in layers[:MOST_BARS]]
        if len(layers) > MOST_BARS:
            bars.append(_rest(layers[MOST_BARS:]))
        self.bars.set_bars(bars, selected)

    def show_empty(self, sentence: str, advice: str) -> None:
        """Say why there is nothing."""
        self.caption.set_template("")
        self.empty.say(sentence, advice)
        self._stack.setCurrentWidget(self.empty)


def _rest(layers: Sequence[LayerBytes]) -> Bar:
    after: Counter[str] = Counter()
    for layer in layers:
        after[layer.role] += layer.after
    before, total = sum(layer.before for layer in layers), sum(after.values())
    words = f"{len(layers):,} smaller layers\n{file_size(before)} \N{RIGHTWARDS ARROW} {file_size(total)}"
    return Bar("", f"{len(layers):,} others", before, tuple(sorted(after.items())), lambda: words)
