"""The third step: what the new data uses, and what is kept as it is or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QStackedWidget, QVBoxLayout, QWidget

from core.figures import percent_text
from core.transfer import settings as words
from gui.charts.card import Caption, label, restyle, with_role
from gui.transfer.fields import Fields
from gui.transfer.use_chart import UseChart

if TYPE_CHECKING:
    from core.transfer_job import Proposal

_NAMES = ("freeze", "settled", "cut", "threshold", "share")
_SIDE = 300
_MOST_LAYERS = 8


class UsePage(QWidget):
    """Shows a proposal, and what the chosen limits make of it. changed(): the person chose otherwise."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.proposal: Proposal | None = None
        self.chart = UseChart(self)
        self.caption = Caption(self)
        self.fields = Fields(_NAMES, self)
        self.pulls = label("", "small", self)
        self.pulls.setWordWrap(True)
        self.waiting, self.bar = QLabel(self), QProgressBar(self)
        self.waiting.setWordWrap(True)
        with_role(self.waiting, "small")
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.pages = QStackedWidget(self)
        self.pages.addWidget(self._waiting_page())
        self.pages.addWidget(self._shown_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pages)
        self.fields.edited.connect(self._edited)

    def _waiting_page(self) -> QWidget:
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.addStretch(1)
        column.addWidget(self.waiting)
        column.addWidget(self.bar)
        column.addStretch(2)
        return page

    def _shown_page(self) -> QWidget:
        page = QWidget(self)
        line = QHBoxLayout(page)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(16)
        left = QVBoxLayout()
        left.setSpacing(4)
        left.addWidget(label("Use of the channels", "title"))
        left.addWidget(self.caption)
        left.addWidget(self.chart, 1)
        side = QWidget(self)
        side.setFixedWidth(_SIDE)
        right = QVBoxLayout(side)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(8)
        right.addWidget(self.fields)
        right.addWidget(label("How much layers want to change", "title"))
        right.addWidget(self.pulls)
        right.addStretch(1)
        line.addLayout(left, 1)
        line.addWidget(side)
        return page

    def wait(self, done: float, text: str) -> None:
        """The head is being trained, and the channels watched."""
        self.pages.setCurrentIndex(0)
        self.bar.show()
        self.bar.setValue(round(1000 * done))
        restyle(self.waiting, "small")
        self.waiting.setText(f"The new head is trained alone, then the channels are watched on the new data. {text}")

    def fail(self, sentence: str) -> None:
        self.pages.setCurrentIndex(0)
        self.bar.hide()
        restyle(self.waiting, "small_bad")
        self.waiting.setText(sentence)

    def show_proposal(self, proposal: Proposal) -> None:
        self.proposal = proposal
        self.pages.setCurrentIndex(1)
        self._show()

    @property
    def threshold(self) -> float:
        """Use below which channels go, as chosen."""
        values, proposal = self.fields.values, self.proposal
        if proposal is None or values["cut"] == words.NONE:
            return 0.0
        return float(values["threshold"]) if values["cut"] == words.UNUSED else \
            proposal.usage.threshold_for(values["share"])

    @property
    def kept(self) -> tuple[str, ...]:
        """Layers that are not trained, as chosen."""
        values, proposal = self.fields.values, self.proposal
        if proposal is None or values["freeze"] == words.NONE:
            return ()
        if values["freeze"] == words.ALL:
            return tuple(one.layer for one in proposal.usage.pulls)
        return proposal.usage.settled(values["settled"])

    def _edited(self, _values: object) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        proposal = self.proposal
        if proposal is None:
            return
        self.chart.set_use(proposal.usage.channels, self.threshold)
        total = sum(one.units for one in proposal.usage.channels)
        silent = sum(one.silent for one in proposal.usage.channels)
        going = f"{self.chart.going:,} of {total:,} channels go {{warn}}; " if total else ""
        head = "" if proposal.head_score is None else " The new head alone: " \
            f"{percent_text(proposal.head_score, 1)} right on the validation samples."
        text = f"{going}{silent:,} never change. Measured on {proposal.usage.samples}.{head}"
        self.caption.set_template(text if total else "No channels of this model can be cut one by one.")
        self.pulls.setText(self._pull_words(proposal))

    def _pull_words(self, proposal: Proposal) -> str:
        pulls, kept = proposal.usage.pulls, set(self.kept)
        if not pulls:
            return "Not measured: it needs class labels and gradients of all operators."
        most = max(one.pull for one in pulls) or 1.0
        lines = [f"{one.title}: {percent_text(one.pull / most)}{'  kept as it is' if one.layer in kept else ''}"
                 for one in pulls[:_MOST_LAYERS]]  # fmt: skip
        if len(pulls) > _MOST_LAYERS:
            lines.append(f"and {len(pulls) - _MOST_LAYERS:,} more layers, {len(kept):,} kept in all")
        return "Gradient over weights, of the largest:\n" + "\n".join(lines)
