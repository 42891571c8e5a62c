"""The third card of the Weights lens: singular values, or energy by frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QStackedLayout, QToolButton, QWidget

from core.analysis.spectra import FrequencyEnergy, Spectrum
from core.recipe import Step
from gui.charts.card import Card, with_role
from gui.charts.curves import Curve, CurveChart, Mark
from gui.charts.empty import EmptyState
from gui.inspector.live import Spectra
from gui.lenses.weight_words import cut_words, frequency_words, reaching, singular_words

if TYPE_CHECKING:
    from core.analysis.preview import LayerPreview

_MOST_POINTS = 512


class SpectrumCard(Card):
    """Two views of one layer; the person switches, and the choice stays from layer to layer.

    rank_moved(rank, finished)   the person dragged the cut of the layer's low rank step; finished: and let go
    """

    rank_moved = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Singular values", parent)
        self._spectra: Spectra | None = None
        self._low_rank: Step | None = None
        self._kept: tuple[int | None, str] = (None, "")  # rank, and what it was weighted by
        self.chart = CurveChart()
        self.chart.cut_moved.connect(self.rank_moved)
        self.none = EmptyState("curve")
        self._choice = QButtonGroup(self)
        for index, (text, tip) in enumerate(
            (("Rank", "What low rank would keep"), ("Frequency", "What a frequency transform (DCT) would keep"))
        ):
            button = QToolButton(self)
            button.setText(text)
            with_role(button, "segment")
            button.setToolTip(tip)
            button.setCheckable(True)
            button.setChecked(index == 0)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            self._choice.addButton(button, index)
            self.corner.addWidget(button)
        self._choice.idClicked.connect(lambda _index: self._draw())
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.chart)
        self._stack.addWidget(self.none)
        self.body.addWidget(holder)

    def show_spectra(self, spectra: Spectra | None) -> None:
        """Show a layer's spectra; None while they are computed."""
        self._spectra = spectra
        self._draw()

    def show_cut(self, step: Step | None, preview: LayerPreview | None = None) -> None:
        """Show where a low rank step cuts; None without such a step. preview: what the step made of the layer."""
        kept = (None, "") if step is None or preview is None else (preview.rank, preview.rank_by)
        if (step, kept) != (self._low_rank, self._kept):
            self._low_rank, self._kept = step, kept
            self._draw()

    def _cut(self) -> int | None:
        """The rank that the step keeps: as it is set, else as the step chose it."""
        found = self._spectra.singular if self._spectra is not None else None
        if self._low_rank is None or found is None:
            return None
        params = self._low_rank.params
        rank = params.rank if params.by == "rank" else self._kept[0]
        return None if rank is None else min(rank, len(found.values))

    def choose(self, index: int) -> None:
        """0: singular values, 1: frequencies."""
        self._choice.button(index).click()

    def _draw(self) -> None:
        frequency = self._choice.checkedId() == 1
        self.title.setText("Energy by frequency" if frequency else "Singular values")
        self.chart.setAccessibleName(self.title.text())
        found = None
        if self._spectra is not None:
            found = self._spectra.frequency if frequency else self._spectra.singular
        one_row = isinstance(found, Spectrum) and found.full_rank <= 1
        drawn = self._spectra is None or (found is not None and not one_row)
        self._stack.setCurrentWidget(self.chart if drawn else self.none)
        if frequency or not isinstance(found, Spectrum):
            self.chart.set_cut(None)
        if one_row:
            self.caption.set_template("")
            self.none.say("One row: no singular values.", "Low rank needs a weight with several rows and columns.")
        elif isinstance(found, FrequencyEnergy):
            self._draw_frequency(found)
        elif found is not None:
            self._draw_singular(found)
        else:
            self.chart.set_curves((), (), "", "")
            self.caption.set_template("")
            self.none.say("There is no spectrum.", self._spectra.reason if self._spectra is not None else "")

    def _draw_singular(self, spectrum: Spectrum) -> None:
        cut = self._cut()
        kept = "" if cut is None else f" · {cut_words(cut, self._kept[1])}"
        self.caption.set_template(f"{singular_words(spectrum)}{kept} · values {{before}} · energy {{after}}")
        known = len(spectrum.values)
        index = np.unique(np.linspace(0, known - 1, min(known, _MOST_POINTS)).round().astype(np.int64))
        rank = index + 1.0
        largest = float(spectrum.values[0]) or 1.0
        curves = (
            Curve("value, of the largest", "before", rank, spectrum.values[index] / largest),
            Curve("energy kept", "after", rank, spectrum.energy[index]),
        )
        at = spectrum.rank_for(0.9)
        marks = (Mark(float(at), f"90 % at {at}"),) if at is not None and at <= known else ()
        self.chart.set_curves(curves, marks, "rank", "rank")
        self.chart.set_cut(cut)

    def _draw_frequency(self, energy: FrequencyEnergy) -> None:
        self.caption.set_template(f"{frequency_words(energy)} · lowest {{before}} · largest {{after}}")
        kept = 100 * energy.kept
        at = 100 * reaching(energy, energy.largest)
        curves = (
            Curve("lowest", "before", kept, energy.lowest),
            Curve("largest", "after", kept, energy.largest),
        )
        self.chart.set_curves(curves, (Mark(at, f"90 % at {at:.0f} %"),), "coefficients kept, %", "kept %")
