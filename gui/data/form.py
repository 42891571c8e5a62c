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
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from core.data.options import DataOptions
from core.errors import FeatherweightError
from gui.charts.card import restyle, with_role
from gui.data.found_view import FoundView
from gui.data.metric_box import MetricBox
from gui.data.preprocessing_fields import PreprocessingFields
from gui.data.reading import Read, Shown, read, show
from gui.data.sample_view import SampleView
from gui.loading import DATA_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.data.samples import Samples
    from core.data_job import DataLook
    from core.progress import Progress
    from gui.main_window import MainWindow
    from gui.session import Session
    from gui.settings import Settings

READ, LOOK, SAMPLE = "read data", "look at data", "show sample"
"""Keys of the form's tasks."""
_DELAY_MS = 300
"""Rest after an edit of the preprocessing before the pictures are read anew."""
_WIDTH, _LEFT = 900, 460
_EMPTY = ("Choose an .npz with one array for each input (and labels, if there are any), an .npy, or a folder of "
          "pictures with a sub-folder for each class. Or drop it here.")


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
        self._closed = False
        self._run = 0  # what was begun before the newest reading is of no interest
        self._make_parts()
        self._lay_out()
        self.fields.put(self._options.preprocessing)
        self._again = QTimer(self, singleShot=True, interval=_DELAY_MS)
        self._again.timeout.connect(self._read)
        self.fields.changed.connect(self._edited)
        self.metric_box.changed.connect(self._check)
        self.sample.wanted.connect(self._show_sample)
        self.finished.connect(self._stop)
        self.metric_box.put(self._options)
        if session.samples is not None and session.data_path is not None:
            self._begin_with(session.data_path, session.samples)
        else:
            self._say_nothing_yet()

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
        self.stop = _button("Stop", self._cancel, self)
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
        head.addWidget(_label("Data to learn from and to measure with", "heading", self), 1)
        head.addWidget(self.file_button)
        head.addWidget(self.folder_button)
        layout.addLayout(head)
        layout.addWidget(self.place)
        layout.addWidget(_rule(self))
        columns = QHBoxLayout()
        columns.setSpacing(22)
        columns.addLayout(self._left(), 0)
        columns.addWidget(self.sample, 1)
        layout.addLayout(columns, 1)
        layout.addWidget(_rule(self))
        foot = QHBoxLayout()
        foot.addWidget(self.split, 1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.use)
        layout.addLayout(foot)
        self.resize(_WIDTH, 600)

    def _left(self) -> QVBoxLayout:
        left = QVBoxLayout()
        left.setSpacing(8)
        self._picture_parts = (_label("Pictures", "title", self), self.fields)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.stop)
        above: tuple[QWidget, ...] = (_label("Found", "title", self), self.found, self.step)
        below: tuple[QWidget, ...] = (*self._picture_parts, _label("Metric", "title", self), self.metric_box)
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
        return left

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
        return str(self._model.path.parent) if self._model is not None else self._settings.last_folder("data")

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
        """Show what is in use; nothing has to be read for that."""
        self._path, self._samples = path, samples
        self._put_place(path)
        self._show_picture_parts(path.is_dir())
        self._read()

    def _read(self) -> None:
        how = self.fields.value()
        if self._path is None or self._model is None or how is None:
            self._check()
            return
        self._again.stop()
        options = DataOptions(how)
        before, self._samples = self._samples, None
        self._run += 1
        self._session.tasks.cancel(LOOK)
        self._show_progress(0.0, "Loading")
        self._session.tasks.thread(READ, read, self._path, self._model.inputs, options, before, done=self._take_read,
                                   failed=self._failed, progress=self._hear, cancelled=self._on_stop())
        self._check()

    def _edited(self) -> None:
        """Pictures will be others: what was read cannot be used any more."""
        self._again.start()
        self._check()

    def _hear(self, told: Progress) -> None:
        if self._closed:
            return
        if told.part is not None:
            self.found.show_found(told.part)
        self._show_progress(told.done, told.text)

    def _take_read(self, found: Read) -> None:
        if self._closed or self._model is None:
            return
        self._samples = found.samples
        self.found.show_classes(found.classes)
        self.found.say("\n".join(found.samples.notes))
        self._show_sample(0)
        self._look()
        self._check()

    def _look(self) -> None:
        """Run the model on a few samples in the worker process, to see which metrics fit and what is broken."""
        from core.data_job import look_at_outputs, look_spec

        if self._samples is None or self._model is None:
            return
        self._show_progress(0.0, "Running the model on a few samples")
        self._session.tasks.process(LOOK, look_at_outputs, look_spec(str(self._model.path), self._samples),
                                    done=self._take_look, failed=self._cannot_run, progress=self._hear_look,
                                    cancelled=self._on_stop())

    def _hear_look(self, told: Progress) -> None:
        if not self._closed:
            self._show_progress(told.done, "Running the model on a few samples")

    def _take_look(self, look: DataLook) -> None:
        if self._closed or self._samples is None:
            return
        self._show_progress(None)
        self.metric_box.show_look(look)
        self.found.say("\n".join((*self._samples.notes, *look.notes)))
        self._check()

    def _failed(self, error: FeatherweightError) -> None:
        if self._closed:
            return
        self._show_progress(None)
        self.found.say(str(FeatherweightError(error.what, do=error.do)), "bad")  # where it is stands above
        self.sample.clear("")
        self._check()

    def _cannot_run(self, error: FeatherweightError) -> None:
        if self._closed:
            return
        self._samples = None
        self._failed(error)

    def _on_stop(self) -> Callable[[], None]:
        """What to do when a task of this reading is cancelled; nothing when a newer reading has begun since."""
        run = self._run
        return lambda: self._stopped() if run == self._run else None

    def _stopped(self) -> None:
        if not self._closed:
            self._show_progress(None)
            self.found.say("Loading was stopped. Choose the data again, or something else.")
            self._check()

    def _cancel(self) -> None:
        for key in (READ, LOOK):
            self._session.tasks.cancel(key)

    def _show_sample(self, index: int) -> None:
        if self._samples is None:
            return
        samples = self._samples

        def shown(one: Shown) -> None:
            if not self._closed and samples is self._samples:
                self.sample.show_sample(one, samples)

        self._session.tasks.thread(SAMPLE, show, samples, index, done=shown, failed=self._failed)

    # -- state ------------------------------------------------------------------------------------------------------

    def _say_nothing_yet(self) -> None:
        self.place.setText("Nothing is chosen yet")
        restyle(self.place, "muted")
        self.sample.clear(_EMPTY)
        self._show_picture_parts(False)
        self._check()

    def _put_place(self, path: Path) -> None:
        restyle(self.place, "")
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
        self._closed = True
        self._again.stop()
        for key in (READ, LOOK, SAMPLE):
            self._session.tasks.cancel(key)


def split_words(n: int) -> str:
    """How samples are divided, which never mixes them."""
    from core.jobs import CALIBRATION_SAMPLES

    if n < 2:
        return "1 sample, which calibrates and measures: the figures will say little."
    learned = max(1, min(CALIBRATION_SAMPLES, n // 2))
    return (f"{learned:,} sample{'' if learned == 1 else 's'} to calibrate, {n - learned:,} to measure, "
            "drawn with a fixed seed and never mixed.")


def _label(text: str, role: str, parent: QWidget) -> QLabel:
    label = QLabel(text, parent)
    with_role(label, role)
    return label


def _rule(parent: QWidget) -> QFrame:
    rule = QFrame(parent)
    with_role(rule, "rule")
    rule.setFixedHeight(1)
    return rule


def _button(text: str, act: Callable[[], None], parent: QWidget) -> QPushButton:
    button = QPushButton(text, parent)
    button.setAutoDefault(False)
    button.clicked.connect(lambda: act())
    return button
