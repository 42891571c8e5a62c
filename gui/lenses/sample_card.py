"""The second card of the Compare lens: one sample at a time, worst first, with both models' answers."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from core.analysis.comparison import Comparison
from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.charts.lines import LineChart
from gui.charts.pairs import ScoreBars
from gui.charts.picture import Picture
from gui.lenses.compare_state import answer_pairs, class_name, sample_words, score_word
from gui.lenses.sample_input import SampleInput, load_input
from gui.session import Session

TASK = "shown sample"
"""Key of the task that reads a sample."""
_NO_ANSWERS = "This model's output is not a list of class scores, so there are no answers to compare."
_NO_SCORES = "The answer is more than one list of class scores, so only whether it differs is shown."


class SampleCard(Card):
    """A theatre for the samples of the last comparison; Left and Right or the arrows go through them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Samples", parent)
        self._session: Session | None = None
        self._comparison: Comparison | None = None
        self._place = 0
        self._scores = ""
        self.back = self._arrow("\u25c2", "The sample before, which is worse", -1)
        self.forward = self._arrow("\u25b8", "The next sample, which is better", 1)
        self.picture, self.line, self.numbers = Picture(), LineChart(), QLabel()
        self.numbers.setWordWrap(True)
        with_role(self.numbers, "small")
        self.scores = ScoreBars()
        self.answer = QLabel()
        with_role(self.answer, "caption")
        self.answer.setWordWrap(True)
        self.empty = EmptyState("picture")
        self._lay_out()

    def _arrow(self, text: str, tip: str, move: int) -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        with_role(button, "segment")
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.clicked.connect(lambda: self.go(move))
        self.corner.addWidget(button)
        return button

    def _lay_out(self) -> None:
        stage = QWidget()
        self._stage = QStackedLayout(stage)
        for widget in (self.picture, self.line, self.numbers):
            self._stage.addWidget(widget)
        theatre = QWidget()
        column = QVBoxLayout(theatre)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(8)
        column.addWidget(stage, 1)
        column.addWidget(self.answer)
        column.addWidget(self.scores)
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(theatre)
        self._stack.addWidget(self.empty)
        self.body.addWidget(holder)

    def show_comparison(self, session: Session, comparison: Comparison | None, why: tuple[str, str]) -> None:
        """Show the worst sample of a comparison; without one, `why` (a sentence, what to do)."""
        self._session = session
        if comparison is not self._comparison or comparison is None:
            self._comparison, self._place = comparison, 0
            self._scores = score_word(comparison.samples) if comparison is not None else ""
            self._show(why)

    @property
    def place(self) -> int:
        """Which sample is shown, from 0, the worst."""
        return self._place

    def go(self, move: int) -> None:
        """Show the sample `move` places on."""
        if self._comparison is not None:
            self._place = min(max(self._place + move, 0), len(self._comparison.samples) - 1)
            self._show(("", ""))

    def _show(self, why: tuple[str, str]) -> None:
        comparison, session = self._comparison, self._session
        samples = comparison.samples if comparison is not None else ()
        self.back.setEnabled(self._place > 0)
        self.forward.setEnabled(self._place + 1 < len(samples))
        self._stack.setCurrentIndex(0 if samples else 1)
        if comparison is None or session is None or not samples:
            self.caption.set_template("")
            self.empty.say(*why)
            return
        sample = samples[self._place]
        self.caption.set_template(sample_words(sample, self._place, len(samples), self._scores))
        names = session.samples.class_names if session.samples is not None else ()
        pairs = answer_pairs(sample.before, sample.after, names)
        self.scores.setVisible(bool(pairs))
        self.scores.set_pairs(pairs)
        label = self._label(sample.index, sample.label, names)
        no_scores = "" if pairs else _NO_ANSWERS if sample.changed is None else _NO_SCORES
        self.answer.setText(f"{label} {no_scores}".strip())
        self.answer.setVisible(bool(self.answer.text()))
        self._load(sample.index)

    def _label(self, index: int, label: int | None, names: tuple[str, ...]) -> str:
        if label is not None:
            return f"Right answer: {class_name(label, names)}."
        samples = self._session.samples if self._session is not None else None
        if samples is None or samples.labels is None or index >= samples.n:
            return ""
        return f"Label: {samples.labels[index]}."

    def _load(self, index: int) -> None:
        session = self._session
        if session is None or session.samples is None or index >= session.samples.n:
            self._put_input(SampleInput("", text="The samples are no longer loaded."))
            return
        session.tasks.thread(TASK, load_input, session.samples, index, done=self._put_input)

    def _put_input(self, found: SampleInput) -> None:
        if found.pixels is not None:
            self.picture.set_pixels(found.pixels)
            self._stage.setCurrentWidget(self.picture)
        elif found.line is not None:
            self.line.set_values(found.line)
            self.line.set_labels(x=f"place in {found.name}")
            self._stage.setCurrentWidget(self.line)
        else:
            self.numbers.setText(f"{found.name}: {found.text}" if found.name else found.text)
            self._stage.setCurrentWidget(self.numbers)
