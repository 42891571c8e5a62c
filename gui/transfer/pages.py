"""The first two steps: which data, and where the old head is cut off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gui.charts.card import label, restyle, with_role
from gui.charts.row_table import set_up_rows
from gui.loading import DATA_SUFFIXES
from gui.totals.card import ElidedLabel
from gui.transfer.fields import Fields

if TYPE_CHECKING:
    from core.transfer.cuts import CutPoint
    from core.transfer_job import Look
    from gui.settings import Settings

_DOTS = "\N{HORIZONTAL ELLIPSIS}"
_ROLES = (
    ("train", "New data", "Labelled samples of the new task"),
    ("valid", "Validation", "Chooses the best state; without it, some of the new data is held out"),
    ("test", "Test", "Compared on; without it, some of the new data is set apart, that nothing is learned from"),
)
_INTRO = ("What the model has learned may serve other data too. Give labelled samples: an .npz with the model's input "
          "and an array \u201clabels\u201d, or a folder with a folder of pictures for each class. Pictures of another "
          "size are resampled.")
_HEADERS = ("Cut", "Features", "Weights kept")


class FileRow(QWidget):
    """One role of data. changed(): another file, or none."""

    changed = Signal()

    def __init__(self, settings: Settings, title: str, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings, self._title = settings, title
        self.path: Path | None = None
        self.name = ElidedLabel(self, Qt.TextElideMode.ElideMiddle)
        self.file, self.folder, self.forget = (QPushButton(text, self) for text in
                                               (f"File{_DOTS}", f"Folder{_DOTS}", "None"))  # fmt: skip
        for button, what in ((self.file, "Choose a file of"), (self.folder, "Choose a folder of"), (self.forget, "No")):
            button.setAutoDefault(False)
            button.setAccessibleName(f"{what} {title.lower()}")
        with_role(self.forget, "link")
        caption = label(title, "caption", self)
        caption.setMinimumWidth(76)
        line = QHBoxLayout()
        for widget, stretch in ((caption, 0), (self.name, 1), (self.forget, 0), (self.file, 0), (self.folder, 0)):
            line.addWidget(widget, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addLayout(line)
        layout.addWidget(label(hint, "small", self))
        self.file.clicked.connect(lambda _checked=False: self._ask(folder=False))
        self.folder.clicked.connect(lambda _checked=False: self._ask(folder=True))
        self.forget.clicked.connect(lambda _checked=False: self.put(None))
        self.forget.setVisible(False)

    def put(self, path: Path | None) -> None:
        self.path = path
        self.name.set_whole(path.name if path is not None else "")
        self.forget.setVisible(path is not None)
        self.changed.emit()

    def _ask(self, *, folder: bool) -> None:
        start = self._settings.last_folder("data")
        if folder:
            path = QFileDialog.getExistingDirectory(self, self._title, start)
        else:
            filters = f"Data ({' '.join(f'*{suffix}' for suffix in DATA_SUFFIXES)});;All files (*)"
            path, _filter = QFileDialog.getOpenFileName(self, self._title, start, filters)
        if path:
            self._settings.set_last_folder("data", Path(path).parent)
            self.put(Path(path))


class DataPage(QWidget):
    """Step 1. changed(): another file was chosen."""

    changed = Signal()

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        intro = label(_INTRO, "small", self)
        intro.setWordWrap(True)
        layout.addWidget(intro)
        self.rows: dict[str, FileRow] = {}
        for key, title, hint in _ROLES:
            row = self.rows[key] = FileRow(settings, title, hint, self)
            row.changed.connect(self.changed)
            layout.addWidget(row)
        self.found = QLabel(self)
        self.found.setWordWrap(True)
        self.found.setTextFormat(Qt.TextFormat.PlainText)
        layout.addWidget(self.found)
        layout.addStretch(1)

    def say(self, text: str, role: str = "small") -> None:
        """What was found, is being read, or is wrong."""
        restyle(self.found, role)
        self.found.setText(text)

    def show_look(self, look: Look) -> None:
        counts = ", ".join(f"{name} ({count:,})" for name, count in look.counts[:12])
        more = f" and {len(look.counts) - 12:,} more" if len(look.counts) > 12 else ""
        lines = [f"The new head answers with {look.outputs}."]
        lines += [f"Training samples by class: {counts}{more}."] if counts else []
        self.say("\n".join((*lines, *look.used, *look.notes)))


class CutPage(QWidget):
    """Step 2. changed(): another place, or another head."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cuts: tuple[CutPoint, ...] = ()
        self.table = QTableWidget(0, len(_HEADERS), self)
        set_up_rows(self.table, "Places where the head can be cut", 27, many=False)
        with_role(self.table, "padded")
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(len(_HEADERS)):
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            heading = QTableWidgetItem(_HEADERS[column])
            heading.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.table.setHorizontalHeaderItem(column, heading)
        self.table.setColumnWidth(1, 90)
        self.table.setColumnWidth(2, 150)
        self.reason = label("", "small", self)
        self.reason.setWordWrap(True)
        self.reason.setMinimumHeight(36)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.head = Fields(("hidden", "head_epochs"), self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(label("Everything behind the cut goes; a new head reads the features that are left.", "small"))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.reason)
        layout.addWidget(self.head)
        self.table.itemSelectionChanged.connect(self._chosen)
        self.head.edited.connect(lambda _values: self.changed.emit())

    def show_cuts(self, cuts: tuple[CutPoint, ...]) -> None:
        """Show the places, the recommended one chosen."""
        self.cuts = cuts
        self.table.setRowCount(len(cuts))
        for row, cut in enumerate(cuts):
            total = cut.kept_weights + cut.removed_weights
            title = cut.title + ("   (recommended)" if cut.recommended else "")
            share = 100 * cut.kept_weights / max(total, 1)
            shares = f"{cut.kept_weights:,} ({share:.{0 if share >= 10 else 1}f} %)"
            for column, text in enumerate((title, f"{cut.features:,}", shares)):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(cut.reason)
                self.table.setItem(row, column, item)
        self.table.selectRow(next(row for row, cut in enumerate(cuts) if cut.recommended))

    @property
    def cut(self) -> CutPoint | None:
        row = self.table.currentRow()
        return self.cuts[row] if 0 <= row < len(self.cuts) else None

    def _chosen(self) -> None:
        cut = self.cut
        self.reason.setText(cut.reason if cut is not None else "")
        self.changed.emit()
