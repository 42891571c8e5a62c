"""The third card of the Compare lens: accuracy by class, before and after."""

from __future__ import annotations

from PySide6.QtWidgets import QStackedLayout, QWidget

from core.analysis.comparison import Comparison
from gui.charts.card import Card
from gui.charts.empty import EmptyState
from gui.charts.pairs import PairChart
from gui.lenses.compare_state import accuracy_words, agreement_words, class_pairs


class AccuracyCard(Card):
    """Pairs of bars where there are labels, else the reason and what can be said without them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Accuracy by class", parent)
        self.chart = PairChart()
        self.empty = EmptyState("compare")
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.chart)
        self._stack.addWidget(self.empty)
        self.body.addWidget(holder)

    def show_comparison(self, comparison: Comparison | None, why: tuple[str, str]) -> None:
        """Show a comparison's classes; without one, `why` (a sentence, what to do)."""
        labelled = comparison is not None and bool(comparison.classes)
        self._stack.setCurrentIndex(0 if labelled else 1)
        self.title.setText("Accuracy by class" if labelled or comparison is None else "Answers")
        if comparison is None:
            self.caption.set_template("")
            self.empty.say(*why)
        elif labelled:
            self.caption.set_template(accuracy_words(comparison))
            self.chart.set_pairs(class_pairs(comparison))
        else:
            self.caption.set_template(f"measured on {comparison.n:,} samples")
            self.empty.say(agreement_words(comparison), f"No accuracy: {comparison.no_accuracy}.")
