"""The card of the selected run: what it was, what it gave, its learning curves, and what can be done with it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from core.figures import size_text
from core.runs.run import RunKind
from core.runs.words import DATA_WORDS, change_text, drop_of, figure_text, model_name, speed_text
from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.run_tree.rows import Row
from gui.training.chart import LearningChart
from gui.training.curves import Series
from gui.training.pictures import loss_picture

_WORDS_WIDTH, _MARGINS = 200, 32


class DetailCard(Card):
    """Shows one run; with two selected it says that they can be compared."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Selected run", parent)
        self.words = QLabel(self)
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setMinimumWidth(_WORDS_WIDTH)
        self.words.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
        with_role(self.words, "small")
        self.chart = LearningChart("Learning curves of the selected run", self)
        self.none = EmptyState("curve")
        self.open = self._button(
            "Open", "Take its plan and its settings for a training; can be undone. What it trained is only in its file")
        self.branch = self._button("Branch", "The same, and what is run next stands below this run")
        self.compare = self._button("Compare", "Two selected runs side by side")
        self.resume = self._button("Resume", "Go on from its last whole epoch")
        self.export = self._button("Export\N{HORIZONTAL ELLIPSIS}", "Save the kept copy of its result")
        self.reveal = self._button("Show file", "Show the folder of the file that it wrote")
        self.delete = self._button("Delete\N{HORIZONTAL ELLIPSIS}", "Remove it from the disk, for good")
        self._bar = QGridLayout()
        self._bar.setSpacing(6)
        self._across = 0
        self._arrange()
        middle = QHBoxLayout()
        middle.setSpacing(14)
        middle.addWidget(self.words, 2)
        curves = QVBoxLayout()
        curves.addWidget(self.chart, 1)
        curves.addWidget(self.none, 1)
        middle.addLayout(curves, 3)
        self.body.addLayout(self._bar)
        self.body.addSpacing(6)
        self.body.addLayout(middle, 1)
        self.show_row(None)

    def _button(self, text: str, hint: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(hint)
        return button

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """As many buttons in a line as there is room for: a cut word cannot be read."""
        widths = [button.sizeHint().width() + self._bar.spacing() for button in self.buttons]
        count = len(widths)
        across = next((n for n in range(count, 1, -1)
                       if sum(max(widths[column::n]) for column in range(n)) <= self.width() - _MARGINS), 1)
        across = -(-count // -(-count // across))  # as even lines as that many lines can be
        if across == self._across:
            return
        self._across = across
        for at, button in enumerate(self.buttons):
            self._bar.addWidget(button, at // across, at % across)
        for column in range(count + 1):
            self._bar.setColumnStretch(column, 1 if column == across else 0)

    @property
    def buttons(self) -> tuple[QPushButton, ...]:
        """What can be done, in the order shown."""
        return self.open, self.branch, self.compare, self.resume, self.export, self.reveal, self.delete

    def show_row(self, row: Row | None, series: tuple[Series, ...] | None = (), *, others: int = 0) -> None:
        """Show a run and its curves.

        series  None: they are being read
        others  runs that are selected beside it
        """
        self.title.setText("Selected run" if row is None else row.texts[0])
        more = f"and {others} more selected" if others > 1 else "and another one, to compare with" if others else ""
        self.caption.set_template("" if row is None else " \N{MIDDLE DOT} ".join(filter(None, (
            row.texts[1], f"begun {row.texts[-1]}", row.texts[7], f"seed {row.run.seed}", more))))  # fmt: skip
        self.words.setText("" if row is None else words_of(row))
        self.words.setVisible(row is not None)  # the empty state has the whole width
        self.words.setToolTip("" if row is None else paths_of(row))
        there = bool(series) and any(one.points for one in series or ())
        self.chart.setVisible(there)
        self.none.setVisible(not there)
        if there and series:
            at = max(range(len(series)), key=lambda i: len(series[i].points))
            self.chart.show_picture(loss_picture(series, at))
            self.chart.set_labels(y="loss")
        elif row is None:
            self.none.say("No run is selected.", "Select one in the table or the chart.")
        elif series is None:
            self.none.say("Reading its learning curves.", "")
        elif row.run.kind is RunKind.COMPRESS:
            self.none.say("A compression has no learning curves.", "")
        else:
            self.none.say("No epoch was finished.", "")
        self._allow(row, others)

    def _allow(self, row: Row | None, others: int) -> None:
        alone = row is not None and not others
        run = row.run if row is not None else None
        idle = run is not None and not run.state.at_work
        self.open.setEnabled(alone)
        self.branch.setEnabled(alone)
        self.compare.setEnabled(row is not None and others == 1)
        self.resume.setEnabled(alone and run is not None and run.kind is not RunKind.COMPRESS and run.state.resumable)
        self.export.setEnabled(alone and row is not None and row.kept)
        self.reveal.setEnabled(alone and run is not None and bool(run.target) and Path(run.target).parent.is_dir())
        self.delete.setEnabled(row is not None and (idle or others > 0))


def words_of(row: Row) -> str:
    """Everything worth knowing of a run, a line each."""
    run = row.run
    lines = [run.why] if run.why else []
    lines += [change_text(run)] if change_text(run) else []
    for figure in run.figures:
        if figure.name.endswith("_before") or figure.name == "bytes":
            continue
        extra = drop_of(run) if figure.name == "score" else ""
        value = speed_text(run) if figure.name == "latency" else figure_text(figure)
        on = f" on {figure.on}" if figure.on and figure.name == "score" else ""
        lines.append(f"{figure.words or figure.name}: {value}{f' ({extra})' if extra else ''}{on}")
    lines += [f"recipe: {row.recipe}"] if row.recipe else []
    lines += [f"model: {model_name(run)}"]
    lines += [f"{DATA_WORDS.get(role, role)}: {Path(path).name}" for role, path in run.data.items()]
    lines += [f"written: {run.target}"] if run.target else []
    copy = ", a copy of its result included" if row.kept else ""
    lines.append(f"takes {size_text(row.bytes_on_disk)} on disk{copy}")
    return "\n".join(lines)


def paths_of(row: Row) -> str:
    """Whole paths and versions, for the tool tip."""
    run = row.run
    lines = [run.model_path, *run.data.values()]
    return "\n".join([*lines, *(f"{name} {version}" for name, version in run.versions.items())])
