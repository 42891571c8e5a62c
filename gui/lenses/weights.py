"""The Weights lens: how the shown layer's weights are distributed, before and after its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QStackedLayout, QToolButton, QWidget

from core.recipe import Step
from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.charts.histogram import HistogramChart
from gui.charts.ranges import RangeChart, single_weights
from gui.inspector.live import LiveLayer, Shown
from gui.layers.rows import short_name
from gui.lenses.base import Lens
from gui.lenses.page import CardPage
from gui.lenses.spectrum_card import SpectrumCard
from gui.lenses.weight_words import distribution_words, range_words, statistics_words
from gui.session import Session


class WeightsLens(Lens):
    """Three cards: distribution, range per output channel, spectrum."""

    key = "weights"
    title = "Weights"
    order = 10

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._live: LiveLayer | None = None
        self._drawn: Shown | None = None
        self._to_draw: dict[Callable[[Shown], None], None] = {}
        # A chart a turn of the event loop: all at once would take longer than a frame.
        self._turn = QTimer(self, singleShot=True, interval=0)
        self._turn.timeout.connect(self._draw_next)
        self.empty = EmptyState("histogram")
        self.histogram = HistogramChart()
        self.ranges = RangeChart()
        self.distribution_card = Card("Weight distribution", self)
        self.range_card = Card("Range per output channel", self)
        self.spectrum_card = SpectrumCard(self)
        self.statistics_line = QLabel(self)
        self._lay_out()

    def _lay_out(self) -> None:
        self._log_button = QToolButton(self)
        self._log_button.setText("Log scale")
        with_role(self._log_button, "segment")
        self._log_button.setCheckable(True)
        self._log_button.setChecked(self.histogram.logarithmic)
        self._log_button.setToolTip("Count on a logarithmic axis, so that rare values stay visible")
        self._log_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._log_button.toggled.connect(self.histogram.set_logarithmic)
        self.distribution_card.corner.addWidget(self._log_button)
        self.distribution_card.body.addWidget(self.histogram, 1)
        with_role(self.statistics_line, "small")
        self.statistics_line.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.statistics_line.setWordWrap(True)
        self.statistics_line.setToolTip("Of the original weight. Outliers: weights beyond Tukey's outer fences.")
        self.range_card.caption.setToolTip("Red: the largest magnitude is beyond Tukey's outer fence of all channels'.")
        self.statistics_line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.statistics_line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.distribution_card.body.setSpacing(7)
        self.distribution_card.body.addWidget(self.statistics_line)
        self.range_card.body.addWidget(self.ranges)
        self.page = CardPage(self.distribution_card, self.range_card, self.spectrum_card, (58, 42))
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.page)

    @property
    def settled(self) -> bool:
        """Whether every chart is drawn as what is known now."""
        return not self._to_draw

    def set_session(self, session: Session) -> None:
        self._session = session
        self._live = LiveLayer.of(session)
        self._live.changed.connect(self._refresh)
        session.selectionChanged.connect(self._refresh)
        session.measuringChanged.connect(self._refresh)
        self.spectrum_card.rank_moved.connect(self._take_rank)
        self._live.want_details(self.isVisible())
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._live is not None:
            self._live.want_details(True)
            self._refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if self._live is not None:
            self._live.want_details(False)

    # -- state to widgets --------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        if self._session is None or self._live is None or not self.isVisible():
            return
        shown = self._live.shown
        if shown is None or shown.problem:
            self._show_nothing(shown)
            return
        self._stack.setCurrentIndex(1)
        before, self._drawn = self._drawn, shown
        selected = len(self._session.selection)
        waits = self._session.waits_for_samples(shown.layer.name)
        self.distribution_card.caption.set_template(distribution_words(shown, selected, waits=waits))
        self.statistics_line.setText(statistics_words(shown))
        if before is None or before.layer is not shown.layer:
            before = None
        at = _low_rank_at(shown.steps)
        self.spectrum_card.show_cut(shown.steps[at] if at is not None and selected == 1 else None, shown.preview)
        if before is None or before.preview is not shown.preview or before.statistics is not shown.statistics:
            self._draw_histogram(shown)  # follows the hand, so at once
        if before is None or before.channels is not shown.channels:
            self._to_draw[self._draw_ranges] = None
        if before is None or before.spectra is not shown.spectra:
            self._to_draw[self._draw_spectra] = None
        if self._to_draw:
            self._turn.start()

    def _draw_next(self) -> None:
        if self._drawn is None or not self._to_draw:
            return
        draw = next(iter(self._to_draw))
        del self._to_draw[draw]
        draw(self._drawn)
        if self._to_draw:
            self._turn.start()

    def _draw_spectra(self, shown: Shown) -> None:
        self.spectrum_card.show_spectra(shown.spectra)

    def _take_rank(self, rank: int, finished: bool) -> None:
        """The cut was dragged: the layer's step keeps this rank."""
        session, shown = self._session, self._live.shown if self._live is not None else None
        at = _low_rank_at(shown.steps) if shown is not None else None
        if session is None or shown is None or at is None:
            return
        steps = list(shown.steps)
        steps[at] = replace(steps[at], params=replace(steps[at].params, by="rank", rank=rank))
        session.set_steps((shown.layer.name,), steps, text="change the rank", merge_key="cut")
        if finished:
            session.finish_edit()

    def _show_nothing(self, shown: Shown | None) -> None:
        self._drawn = None
        self._to_draw.clear()
        self._stack.setCurrentIndex(0)
        if shown is not None:
            self.empty.say(f"The weights of {short_name(shown.layer)} cannot be shown.", shown.problem)
        elif self._session is not None and self._session.model is not None:
            if self._session.model.layers:
                self.empty.say("No layer is selected.", "Pick one in the list to see its weights.")
            else:
                self.empty.say("This model has no weights.", "There is nothing to compress; open another model.")
        else:
            self.empty.say("No model is open.", "Open an ONNX file, or the sample, to see its weights.")

    def _draw_histogram(self, shown: Shown) -> None:
        preview = shown.preview
        if preview is not None:
            self.histogram.set_histograms(preview.before, preview.after, preview.levels)
        else:
            self.histogram.set_histograms(shown.statistics.histogram if shown.statistics else None)

    def _draw_ranges(self, shown: Shown) -> None:
        self.range_card.caption.set_template(range_words(shown))
        single = shown.channels is not None and single_weights(shown.channels[0])
        self.range_card.title.setText("Weight of each channel" if single else "Range per output channel")
        if shown.channels is None:
            self.ranges.clear_ranges()
        else:
            self.ranges.set_ranges(*shown.channels)


def _low_rank_at(steps: Sequence[Step]) -> int | None:
    """The place of the step whose rank the cut sets."""
    return next((i for i, step in enumerate(steps) if step.method == "low_rank"), None)
