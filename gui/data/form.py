"""The form in which data is chosen: what lies there, how pictures become inputs, what is measured, and the split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from core.data.options import DataOptions
from core.errors import FeatherweightError
from gui.charts.card import label, restyle, rule, with_role
from gui.charts.empty import EmptyState
from gui.data.found_view import FoundView
from gui.data.loader import Loader
from gui.data.metric_box import MetricBox
from gui.data.preprocessing_fields import PreprocessingFields
from gui.data.sample_view import SampleView
from gui.loading import DATA_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.data.samples import Samples
    from core.data_job import DataLook
    from gui.data.reading import Read, Shown
    from gui.main_window import MainWindow
    from gui.session import Session
    from gui.settings import Settings

_DELAY_MS = 300
"""Rest after an edit of the preprocessing before the pictures are read anew."""
_WIDTH, _HEIGHT, _LEFT, _SCROLL = 900, 660, 456, 16
_EMPTY = (
    "Choose samples, or drop them here.",
    "An .npz with one array for each input (and labels, if there are any), an .npy, or a folder of pictures with a "
    "sub-folder for each class.",
)


def choose_data(window: QWidget, path: Path | None = None) -> DataForm:
    """Open the form over the window, with the data in use or at `path`; accepting it puts the data into the session."""
    main = cast("MainWindow", window)
    form = DataForm(main.session, main.settings, window)
    if path is not None:
        form.load(path)
    form.open()
    return form


class DataForm(QDialog):
    """Chooses and checks data for the session's model. Nothing changes until it is accepted."""

    def __init__(self, session: Session, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Data")
        self.setAcceptDrops(True)
        self._session, self._settings = session, settings
        self._model = session.model
        self._path: Path | None = None
        self._samples: Samples | None = None
        self._options: DataOptions = session.data_options
        self.loader = Loader(session, session.model, self)
        self._make_parts()
        self._lay_out()
        self.fields.put(self._options.preprocessing)
        self._show_wanted()
        self._again = QTimer(self, singleShot=True, interval=_DELAY_MS)
        self._again.timeout.connect(self._read)
        self.fields.changed.connect(self._edited)
        self.metric_box.changed.connect(self._check)
        self.sample.wanted.connect(self._show_sample)
        self.finished.connect(self._stop)
        self._hear_loader()
        self.metric_box.put(self._options)
        if session.samples is not None and session.data_path is not None:
            self._begin_with(session.data_path, session.samples)
        else:
            self._say_nothing_yet()

    def _hear_loader(self) -> None:
        loader = self.loader
        loader.progress.connect(self._show_progress)
        loader.found.connect(self.found.show_found)
        loader.loaded.connect(self._take_read)
        loader.looked.connect(self._take_look)
        loader.shown.connect(self._put_sample)
        loader.failed.connect(self._failed)
        loader.stopped.connect(self._stopped)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        self.place = QLabel(self)
        self.place.setTextFormat(Qt.TextFormat.PlainText)
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # a long path is cut
        self.file_button = _button("Choose a &file\N{HORIZONTAL ELLIPSIS}", self.choose_file, self)
        self.folder_button = _button("Choose a f&older\N{HORIZONTAL ELLIPSIS}", self.choose_folder, self)
        self.found, self.fields = FoundView(self), PreprocessingFields(self)
        self.sample, self.metric_box = SampleView(self), MetricBox(self)
        self.bar, self.step = QProgressBar(self), QLabel(self)
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        with_role(self.step, "small")
        self.stop = _button("Stop", self.loader.stop, self)
        self.split = QLabel(self)
        self.split.setWordWrap(True)
        with_role(self.split, "muted")
        self.use = QPushButton("Use this data", self)
        with_role(self.use, "primary")
        self.use.setDefault(True)
        self.use.clicked.connect(self._accept)
        self.cancel = _button("Cancel", self.reject, self)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        head = QHBoxLayout()
        head.addWidget(label("Data to learn from and to measure with", "heading", self), 1)
        head.addWidget(self.file_button)
        head.addWidget(self.folder_button)
        layout.addLayout(head)
        layout.addWidget(self.place)
        layout.addWidget(rule(self))
        chosen = QWidget(self)
        columns = QHBoxLayout(chosen)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(12)
        columns.addWidget(self._left(), 0)
        columns.addWidget(self.sample, 1)
        content = QWidget(self)
        self._content = QStackedLayout(content)
        self._content.addWidget(EmptyState("picture", *_EMPTY, self))
        self._content.addWidget(chosen)
        layout.addWidget(content, 1)
        layout.addWidget(rule(self))
        foot = QHBoxLayout()
        foot.addWidget(self.split, 1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.use)
        layout.addLayout(foot)
        self.resize(_WIDTH, _HEIGHT)

    def _left(self) -> QScrollArea:
        """It scrolls where a small screen has no room for all fields."""
        holder, scroll = QWidget(self), QScrollArea(self)
        left = QVBoxLayout(holder)
        left.setContentsMargins(0, 0, 0, 0)
        left.setSpacing(8)
        self._picture_parts = (label("Pictures", "title", self), self.fields)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.stop)
        above: tuple[QWidget, ...] = (label("Found", "title", self), self.found, self.step)
        below: tuple[QWidget, ...] = (*self._picture_parts, label("Metric", "title", self), self.metric_box)
        for part in above:
            left.addWidget(part)
        left.addLayout(progress)
        for part in below:
            left.addWidget(part)
        left.addStretch(1)
        wide: tuple[QWidget, ...] = (self.found, self.metric_box, self.fields)
        for part in wide:
            part.setFixedWidth(_LEFT)
        self._show_progress(None)
        scroll.setWidget(holder)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFixedWidth(_LEFT + _SCROLL)
        return scroll

    # -- choosing ---------------------------------------------------------------------------------------------------

    def choose_file(self) -> None:
        """Ask for a file; the dialog begins where data was loaded from last, else where the model lies."""
        filters = f"Samples ({' '.join(f'*{suffix}' for suffix in DATA_SUFFIXES)});;All files (*)"
        path, _filter = QFileDialog.getOpenFileName(self, "Choose data", self._folder(), filters)
        if path:
            self.load(Path(path))

    def choose_folder(self) -> None:
        """Ask for a folder of pictures."""
        folder = QFileDialog.getExistingDirectory(self, "Choose a folder of pictures", self._folder())
        if folder:
            self.load(Path(folder))

    def _folder(self) -> str:
        if self._path is not None:
            return str(self._path.parent)
        return str(self._model.shown_path.parent) if self._model is not None else self._settings.last_folder("data")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if files:
            self.load(Path(files[0]))

    def load(self, path: Path) -> None:
        """Look at a path and load it in the background."""
        self._path, self._samples = path, None
        self._put_place(path)
        self.found.clear()
        self.sample.clear("")
        self.metric_box.show_look(None)
        self._show_picture_parts(path.is_dir())
        self._read()

    # -- reading ----------------------------------------------------------------------------------------------------

    def _begin_with(self, path: Path, samples: Samples) -> None:
        """Show what is in use; no file has to be read for that."""
        self._path, self._samples = path, samples
        self._put_place(path)
        self._show_picture_parts(path.is_dir())
        self._read()

    def _read(self) -> None:
        how = self.fields.value()
        if self._path is not None and how is not None:
            self._again.stop()
            before, self._samples = self._samples, None
            self.loader.read(self._path, DataOptions(how), before)
        self._check()

    def _edited(self) -> None:
        """Pictures will be others: what was read cannot be used any more."""
        self._again.start()
        self._check()

    def _take_read(self, found: Read) -> None:
        self._samples = found.samples
        self.found.show_classes(found.classes)
        self.found.say("\n".join(found.samples.notes))
        self._show_sample(0)
        self.loader.look(found.samples)
        self._check()

    def _show_wanted(self) -> None:
        """The size that the model's input has stands in the empty field."""
        from core.data.preprocessing import picture_input

        inputs = self._model.inputs if self._model is not None else ()
        if len(inputs) != 1:
            return
        try:
            wanted = picture_input(inputs[0], self._options.preprocessing, where="")
        except FeatherweightError:
            return  # it takes no pictures, and the fields are never shown
        fixed = wanted.height is not None and wanted.width is not None
        self.fields.show_wanted((wanted.height or 0, wanted.width or 0) if fixed else None)

    def _take_look(self, look: DataLook) -> None:
        if self._samples is None:
            return
        self._show_progress(None)
        self.metric_box.show_look(look)
        self.found.say("\n".join((*self._samples.notes, *look.notes)))
        self._check()
        if self.focusWidget() in (None, self.file_button, self.folder_button):
            self.use.setFocus()  # what is left to do; but nobody is torn from a field

    def _failed(self, error: FeatherweightError) -> None:
        self._samples = None
        self._show_progress(None)
        words = str(FeatherweightError(error.what, do=error.do))  # where it is stands above
        self.found.say(words[:1].upper() + words[1:], "bad")
        self.sample.clear("")
        self._check()

    def _stopped(self) -> None:
        self._samples = None
        self._show_progress(None)
        self.found.say("Loading was stopped. Choose the data again, or something else.")
        self._check()

    def _show_sample(self, index: int) -> None:
        if self._samples is not None:
            self.loader.show(self._samples, index)

    def _put_sample(self, shown: Shown) -> None:
        if self._samples is not None:
            self.sample.show_sample(shown, self._samples)

    # -- state ------------------------------------------------------------------------------------------------------

    def _say_nothing_yet(self) -> None:
        self.place.setText("Nothing is chosen yet")
        restyle(self.place, "muted")
        self._show_picture_parts(False)
        self._check()

    def _put_place(self, path: Path) -> None:
        restyle(self.place, "")
        self._content.setCurrentIndex(1)
        self.place.setText(str(path))
        self.place.setToolTip(str(path))

    def _show_picture_parts(self, on: bool) -> None:
        for part in self._picture_parts:
            part.setVisible(on)

    def _show_progress(self, share: float | None, text: str = "") -> None:
        """None: nothing is under way."""
        for widget in (self.bar, self.stop, self.step):
            widget.setVisible(share is not None)
        if share is not None:
            self.bar.setValue(round(1000 * share))
            if text:
                self.step.setText(text)

    def _check(self) -> None:
        """The split in numbers; and whether the data can be used, else the button says why not."""
        why = ""
        if self._samples is None:
            why = "Choose data that fits the model first"
        elif self.fields.value() is None:
            why = "Correct the fields for pictures first"
        elif self._again.isActive():
            why = "The pictures are about to be read anew"
        else:
            why = self.metric_box.problem()
        self.use.setEnabled(not why)
        self.use.setToolTip(why or "Load this data into the session (Return)")
        self.split.setText(split_words(self._samples.n) if self._samples is not None else "")

    def options(self) -> DataOptions | None:
        """What was chosen; None while it cannot be used, or when code was not allowed to run."""
        if self._samples is None:
            return None
        chosen = self.metric_box.values()
        return None if chosen is None else DataOptions(self._samples.options.preprocessing, *chosen)

    def _accept(self) -> None:
        options = self.options()
        if options is None or self._samples is None or self._path is None:
            return
        samples = self._samples.with_options(options)
        if samples is not None and self._session.model is self._model:
            self._settings.set_last_folder("data", self._path if self._path.is_dir() else self._path.parent)
            self._session.data.take(samples, self._path)
        self.accept()

    def _stop(self) -> None:
        """The form is closed: what it had under way is of no use."""
        self._again.stop()
        self.loader.close()


def split_words(n: int) -> str:
    """How samples are divided, which never mixes them."""
    from core.jobs import CALIBRATION_SAMPLES

    if n < 2:
        return "1 sample, which calibrates and measures: the figures will say little."
    learned = max(1, min(CALIBRATION_SAMPLES, n // 2))
    return (f"{learned:,} sample{'' if learned == 1 else 's'} to calibrate, {n - learned:,} to measure, "
            "drawn with a fixed seed and never mixed.")


def _button(text: str, act: Callable[[], None], parent: QWidget) -> QPushButton:
    button = QPushButton(text, parent)
    button.setAutoDefault(False)
    button.clicked.connect(lambda: act())
    return button
