"""The rows of the training form that choose data: to train on, to choose the best state by, to compare on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from core.errors import FeatherweightError
from gui.charts.card import label, restyle, with_role
from gui.loading import DATA_SUFFIXES, read_samples
from gui.totals.card import ElidedLabel

if TYPE_CHECKING:
    from core.data.samples import Samples
    from gui.session import Session
    from gui.settings import Settings

_DOTS = "\N{HORIZONTAL ELLIPSIS}"
_ROLE_IN_NAME = re.compile(r"(?<![a-z])(test|valid)")
"""A word that begins so: "latest" does not."""


def samples_words(samples: Samples) -> str:
    """How many samples there are, and with which labels."""
    import numpy as np

    count = f"{samples.n:,} sample{'' if samples.n == 1 else 's'}"
    if samples.labels is None:
        return f"{count}, no labels"
    if samples.class_labels is None:
        return f"{count} with {'text' if samples.labels.dtype.kind == 'U' else 'values'} as labels"
    classes = len(np.unique(samples.class_labels))
    return f"{count}, labels of {classes:,} class{'' if classes == 1 else 'es'}"


def propose(session: Session, train: DataRow, valid: DataRow | None = None, test: DataRow | None = None) -> str:
    """Put the loaded data into the row to learn from, or where its name says that it belongs.

    Returns why it is not learned from, a sentence; "" when it is. A row that is not there gets nothing.
    """
    path = session.data_path
    named = _ROLE_IN_NAME.search(path.stem.lower()) if path is not None else None
    if path is None or named is None:
        train.put(path, session.samples)
        return ""
    role, row = ("test", test) if named[1] == "test" else ("validation", valid)
    if row is not None:
        row.put(path, session.samples)
    return f"By its name {path.name} is {role} data, so it is not proposed to learn from."


class DataRow(QWidget):
    """One role of data: a file, what was found in it, and what is done without one.

    changed()   another file, or none, or what was found in it
    """

    changed = Signal()

    def __init__(self, session: Session, settings: Settings, key: str, title: str, hint: str,
                 parent: QWidget | None = None) -> None:
        """key: of the task that reads; must be the row's own."""
        super().__init__(parent)
        self._session, self._settings, self._key, self._title = session, settings, f"training data {key}", title
        self.path: Path | None = None
        self.samples: Samples | None = None
        self.trouble = ""
        self._without = ""
        self.name = ElidedLabel(self, Qt.TextElideMode.ElideMiddle)
        self.found = QLabel(self)
        self.found.setWordWrap(True)
        self.found.setTextFormat(Qt.TextFormat.PlainText)
        with_role(self.found, "small")
        self.choose = QPushButton(f"Choose{_DOTS}", self)
        self.forget = QPushButton("None", self)
        self.forget.setToolTip(f"No {title.lower()} data of its own")
        for button, name in ((self.choose, "Choose"), (self.forget, "Forget")):
            button.setAutoDefault(False)
            button.setAccessibleName(f"{name} {title.lower()} data")
            with_role(button, "link")
        self.setToolTip(hint)
        line = QHBoxLayout()
        line.setSpacing(4)
        caption = label(title, "caption", self)
        caption.setMinimumWidth(68)
        for widget, stretch in ((caption, 0), (self.name, 1), (self.forget, 0), (self.choose, 0)):
            line.addWidget(widget, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addLayout(line)
        layout.addWidget(self.found)
        self.choose.clicked.connect(lambda _checked=False: self.ask())
        self.forget.clicked.connect(lambda _checked=False: self.put(None, None))

    def say_without(self, words: str) -> None:
        """What is done while no file is chosen."""
        self._without = words
        self._show()

    def put(self, path: Path | None, samples: Samples | None) -> None:
        """Take samples that are loaded already, or none."""
        self._session.tasks.cancel(self._key)
        self.path, self.samples, self.trouble = path, samples, ""
        self._show()
        self.changed.emit()

    def ask(self) -> None:
        """Let the person choose a file."""
        filters = f"Data ({' '.join(f'*{suffix}' for suffix in DATA_SUFFIXES)});;All files (*)"
        folder = self._settings.last_folder("data")
        path, _filter = QFileDialog.getOpenFileName(self, f"{self._title} data", folder, filters)
        if path:
            self._settings.set_last_folder("data", Path(path).parent)
            self.load(Path(path))

    def load(self, path: Path) -> None:
        """Read a file in the background, as the data of the session is read."""
        model = self._session.model
        if model is None:
            return
        self.path, self.samples, self.trouble = path, None, ""

        def loaded(samples: Samples) -> None:
            self.samples = samples
            self._show()
            self.changed.emit()

        def failed(error: FeatherweightError) -> None:
            self.trouble = str(error)
            self._show()
            self.changed.emit()

        self._session.tasks.thread(self._key, read_samples, path, model.inputs, self._session.data_options,
                                   done=loaded, failed=failed)
        self._show()
        self.changed.emit()

    def stop(self) -> None:
        """The form is closed."""
        self._session.tasks.cancel(self._key)

    @property
    def reading(self) -> bool:
        return self.path is not None and self.samples is None and not self.trouble

    def _show(self) -> None:
        self.name.set_whole(self.path.name if self.path is not None else "")
        self.forget.setVisible(self.path is not None and bool(self._without))
        if self.trouble:
            words = self.trouble
        elif self.samples is not None:
            words = samples_words(self.samples)
        else:
            words = f"reading{_DOTS}" if self.reading else self._without
        restyle(self.found, "small_bad" if self.trouble else "small")
        self.found.setText(words)
        self.found.setVisible(bool(words))
