"""What to put in the place of the selected activations: a form of the method's own parameters, and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.methods.registry import find
from core.methods.replace_activation import why_not
from core.recipe import Step
from gui.charts.card import Card, with_role
from gui.inspector.about_method import AboutMethod
from gui.inspector.form import Form
from gui.lenses.activation_state import WORD, ActivationRow, common_params, family


class ActivationEditor(Card):
    """Shows the choice for the selected activations; what the person does comes out as signals.

    wanted(keys, params, key)   put this in their place; `key` is the same during one drag of one slider
    unwanted(keys)              leave them as they are
    layer_wanted(name)          the layer that feeds the selected activation is to be selected
    changed(params)             the form shows other parameters
    """

    wanted = Signal(frozenset, object, str)
    unwanted = Signal(frozenset)
    layer_wanted = Signal(str)
    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Replacement", parent)
        method = find(WORD)
        self._rows: tuple[ActivationRow, ...] = ()
        self._all: tuple[ActivationRow, ...] = ()
        self._replaced = False
        self.form = Form(method, self, without=("from", "nodes"))
        self.form.edited.connect(self._edited)
        self.about = AboutMethod(method, self)
        self.about.hide()
        self.about_button = QToolButton(self)
        self.about_button.setText("?")
        self.about_button.setCheckable(True)
        self.about_button.setToolTip("What this saves and costs, and when to choose it")
        self.about_button.setAccessibleName(f"About {method.title}")
        self.about_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        with_role(self.about_button, "step")
        self.about_button.toggled.connect(self.about.setVisible)
        self.reason = QLabel(self)
        with_role(self.reason, "small_warn")
        self.reason.setWordWrap(True)
        self.reason.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.replace_button, self.all_button = QPushButton("Replace", self), QPushButton(self)
        self.remove_button, self.layer_button = QPushButton("Keep as it is", self), QPushButton(self)
        with_role(self.replace_button, "primary")
        with_role(self.remove_button, "flat")
        with_role(self.layer_button, "link")
        self.replace_button.clicked.connect(lambda: self._want(self._rows))
        self.all_button.clicked.connect(lambda: self._want(self._alike()))
        self.remove_button.clicked.connect(lambda: self.unwanted.emit(_keys(self._rows)))
        self.layer_button.clicked.connect(self._want_layer)
        self._lay_out()

    def _lay_out(self) -> None:
        self.corner.addWidget(self.about_button)
        buttons = QHBoxLayout()
        for button in (self.replace_button, self.remove_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        content = QWidget()
        with_role(content, "plain")
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.about)
        column.addWidget(self.form)
        column.addWidget(self.reason)
        column.addLayout(buttons)
        column.addWidget(self.all_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.layer_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        scroll = QScrollArea(self)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(content)
        self.body.addWidget(scroll)

    @property
    def params(self) -> Any:
        """What the form shows."""
        return self.form.params()

    def show_rows(self, rows: Sequence[ActivationRow], everything: Sequence[ActivationRow],
                  graph: Sequence[Step], new: bool) -> None:
        """Show the choice for these activations of all; `new`: others than before, so the form starts afresh."""
        self._rows, self._all = tuple(rows), tuple(everything)
        found, self._replaced = common_params(rows, graph)
        if new or self._replaced:
            self.form.set_params(found)
        self.caption.set_template(_words(rows))
        alike = self._alike()
        op = family(rows[0].activation.op) if rows else ""
        self.all_button.setText(f"Replace all {len(alike)} {op}" if len(alike) > 1 else "")
        same = all(row.state == "done" and row.plan == rows[0].plan for row in alike)
        self.all_button.setVisible(bool(rows) and len(alike) > len(rows) and not same)
        self.remove_button.setVisible(any(row.state != "stays" for row in rows))
        layer = rows[0].layer if len(rows) == 1 else ""
        self.layer_button.setText(f"Select its layer: {layer}")
        self.layer_button.setVisible(bool(layer))
        self._show_reason()

    def _alike(self) -> tuple[ActivationRow, ...]:
        """All activations of the first selected one's function; () when several functions are selected."""
        kinds = {family(row.activation.op) for row in self._rows}
        if len(kinds) != 1:
            return ()
        return tuple(row for row in self._all if family(row.activation.op) in kinds)

    def _show_reason(self) -> None:
        to = self.params.to
        clauses = [why for row in self._rows if (why := why_not(row.activation.op, to))]
        refused = next((row.why for row in self._rows if row.state == "refused" and row.why), "")
        words = refused or (f"Not possible: {clauses[0]}" if clauses else "")
        if words and len(clauses) > 1:
            words += f" (so for {len(clauses)} of {len(self._rows)})"
        self.reason.setText(f"\N{WARNING SIGN} {words.rstrip('.')}." if words else "")
        self.reason.setVisible(bool(words))
        possible = len(clauses) < len(self._rows)
        self.replace_button.setVisible(not self._replaced)
        self.replace_button.setEnabled(possible)
        self.all_button.setEnabled(possible)

    def _edited(self, params: Any, key: str) -> None:
        self._show_reason()
        self.changed.emit(params)
        if self._replaced:
            self.wanted.emit(_keys(self._rows), params, key)

    def _want_layer(self) -> None:
        if self._rows:
            self.layer_wanted.emit(self._rows[0].activation.layer)

    def _want(self, rows: Sequence[ActivationRow]) -> None:
        possible = [row for row in rows if not why_not(row.activation.op, self.params.to)]
        if possible:
            self.wanted.emit(_keys(possible), self.params, "")


def _keys(rows: Sequence[ActivationRow]) -> frozenset[str]:
    return frozenset(row.key for row in rows)


def _words(rows: Sequence[ActivationRow]) -> str:
    if not rows:
        return "Select activations in the table."
    if len(rows) == 1:
        where = f"after {rows[0].layer}" if rows[0].layer else f"at {rows[0].name}"
        return f"of {rows[0].activation.op} {where}"
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.activation.op] = counts.get(row.activation.op, 0) + 1
    return "of " + ", ".join(f"{n} {op}" for op, n in counts.items())
