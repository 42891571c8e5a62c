"""What the layer costs now: size, error, zeros, levels, and how each figure is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from core.methods.base import Stage
from core.methods.registry import by_key
from core.model.layer import Layer
from core.recipe import Step
from gui.charts.card import restyle, with_role
from gui.inspector.live import Shown
from gui.inspector.summary import Summary, level_words, share_words
from gui.layers.rows import short_name
from gui.session import Session
from gui.units import decibels, file_size

if TYPE_CHECKING:
    from core.analysis.preview import LayerPreview

_ARROW = "\u2192"
SAMPLES_ARE_RUN = "Samples are being run for this step\N{HORIZONTAL ELLIPSIS}"
_UNTOLD = "none are loaded"
"""How the core ends its reason when a step had no samples (`core.methods.base.require_inputs`)."""
_LOCKED, _SKIPPED = "No steps can be added: ", "\u26a0 Left as it is: "


@dataclass(frozen=True)
class Row:
    """One line of the box. `tip` says how the figure is known."""

    title: str
    value: str
    tip: str = ""
    role: str = ""


def one_layer(shown: Shown, session: Session) -> tuple[tuple[Row, ...], str]:
    """The lines for one layer, and why nothing is done to it ("" when something is, or nothing was asked for)."""
    preview, layer = shown.preview, shown.layer
    if layer.locked:  # figures of the stored weight would contradict the reason
        return (), f"{_LOCKED}{layer.locked}."
    if session.waits_for_samples(layer.name) or _not_run_yet(shown, session):
        return (Row("Layer size", file_size(layer.nbytes), "Bytes of its tensors in the file."),), SAMPLES_ARE_RUN
    if preview is None:
        return (), shown.problem
    size = Row("Layer size", _sizes(preview.bytes_before, preview.bytes_after), "Bytes of its tensors in the file.")
    if preview.skipped or shown.problem:
        return (size,), f"{_SKIPPED}{shown.problem or preview.skipped}"
    rows = [
        size,
        Row("Weight SQNR", _weight_error(preview.weight_sqnr_db),
            "Computed: 10 log10(sum of squares of the weight / sum of squares of the change)."),
        output_error(layer, session),
        Row("Zeros", _change(share_words(preview.zeros_before), share_words(preview.zeros_after)),
            "Share of the weights that are exactly zero."),
    ]
    if preview.levels is not None:
        words = level_words(preview, shown.steps).replace(" levels", "").removesuffix(" level")
        rows.append(Row("Levels", words, "Distinct values that the weights can take."))
    if shown.steps:
        rows.append(_savings(shown.steps))
    return tuple(rows), _note(preview, session)


def _not_run_yet(shown: Shown, session: Session) -> bool:
    """Whether the preview lacks samples only because it came first: while a plan's figures stand in, or samples run."""
    reason = shown.problem or (shown.preview.skipped if shown.preview is not None else "")
    if session.samples is None or _UNTOLD not in reason:
        return False
    return session.measuring or session.plans.foretold_bytes(shown.layer.name) is not None


def _note(preview: LayerPreview, session: Session) -> str:
    """What other layers' cuts do to this one; what its own step does is told on the step's card."""
    own = any(by_key(step.method).stage is Stage.CHANNELS for step in session.steps(preview.name))
    return "" if own or not preview.note else f"{preview.note[:1].upper()}{preview.note[1:]}."


def several_layers(summary: Summary, session: Session) -> tuple[tuple[Row, ...], str]:
    """The lines for several layers: sums, and what was skipped."""
    before = after = 0
    waiting, measured, skipped = 0, 0, []
    for layer in summary.layers:
        preview = session.previews.get(layer.name)
        if session.waits_for_samples(layer.name):
            measured += 1
            preview = None
        waiting += bool(session.steps(layer.name)) and preview is None
        before += layer.nbytes if preview is None else preview.bytes_before
        after += layer.nbytes if preview is None else preview.bytes_after
        if preview is not None and preview.skipped:
            skipped.append(f"{short_name(layer)}: {preview.skipped}")
    size = _sizes(before, after) if not waiting else f"{file_size(before)} {_ARROW} being computed"
    rows = [Row("Size of all", size, "Bytes of their tensors in the file.")]
    if measured:
        return tuple(rows), SAMPLES_ARE_RUN
    if not skipped:
        return tuple(rows), ""
    more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
    which = f"{len(skipped)} of {len(summary.layers)} layers are left as they are"
    return tuple(rows), f"\u26a0 {which}: {skipped[0]}{more}"


def output_error(layer: Layer, session: Session) -> Row:
    """The error at the layer's output: only what was measured with exactly these steps counts."""
    title, tip = "Output SQNR", "Load data and compress to measure it."
    result = session.result
    if result is None or layer.name not in result.live:
        return Row(title, "not measured yet", tip, "caption")
    if result.recipe.steps_for(layer.name) != session.steps(layer.name):
        return Row(title, "steps changed since", "Compress again to measure the present steps.", "caption")
    return Row(f"{title} (measured)", decibels(result.live[layer.name]),
               "SQNR at this layer's own output when it alone is compressed, on the loaded samples.")


def _savings(steps: Sequence[Step]) -> Row:
    """What gets smaller with all of these steps, and what they cost: a smaller file is not always a faster model."""
    methods = [by_key(step.method) for step in steps]
    saved = dict.fromkeys(word for method in methods for word in method.saves)
    only = " only" if list(saved) == ["file"] else ""
    return Row("Saves", ", ".join(saved) + only, "\n".join(dict.fromkeys(method.costs for method in methods)))


def _sizes(before: int, after: int) -> str:
    return file_size(before) if before == after else f"{file_size(before)} {_ARROW} {file_size(after)}"


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} {_ARROW} {after}"


def _weight_error(db: float) -> str:
    return "unchanged" if db == float("inf") else decibels(db)


class CostBox(QFrame):
    """A quiet box with aligned lines, and above them why nothing is done: a warning when steps were asked for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "summary")
        self._column = QVBoxLayout()
        self._column.setSpacing(6)
        self._lines: list[tuple[QLabel, QLabel]] = []
        self.reason = QLabel(self)
        with_role(self.reason, "warn")
        self.reason.setWordWrap(True)
        self.reason.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(11, 9, 11, 9)
        layout.setSpacing(7)
        layout.addWidget(self.reason)
        layout.addLayout(self._column)

    def set_rows(self, rows: tuple[Row, ...], reason: str) -> None:
        """Show the lines; `reason` is why nothing is done to the layer."""
        while len(self._lines) < len(rows):
            self._add_line()
        for index, (title, value) in enumerate(self._lines):
            used = index < len(rows)
            title.setVisible(used)
            value.setVisible(used)
            if used:
                self._fill(title, value, rows[index])
        self.reason.setText(reason)
        restyle(self.reason, "warn" if reason.startswith("\u26a0") else "")
        self.reason.setVisible(bool(reason))
        self.setVisible(bool(rows or reason))

    def rows(self) -> dict[str, str]:
        """What is shown, title to value."""
        return {title.text(): value.text() for title, value in self._lines if not title.isHidden()}

    def _add_line(self) -> None:
        title, value = QLabel(self), QLabel(self)
        with_role(title, "caption")
        value.setAlignment(Qt.AlignmentFlag.AlignRight)
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        line = QHBoxLayout()  # no grid: the longest title and the longest value need not fit side by side
        line.setSpacing(6)
        line.addWidget(title)
        line.addStretch(1)
        line.addWidget(value)
        self._column.addLayout(line)
        self._lines.append((title, value))

    def _fill(self, title: QLabel, value: QLabel, row: Row) -> None:
        title.setText(row.title)
        value.setText(row.value)
        restyle(value, row.role)
        for label in (title, value):
            label.setToolTip(row.tip)
