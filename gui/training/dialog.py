"""Asks how to fine-tune: settings at the left; data, what will happen and how long at the right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from core.errors import FeatherweightError
from core.training.settings import DEFAULT_TRAINING
from gui.charts.card import label, rule, with_role
from gui.training.asking import ask
from gui.training.data_rows import DataRow, propose
from gui.training.finetune import FINETUNE, Wish, asked_of
from gui.training.foretold import plan_words, probe_words, size_words, source_words, time_words, why_not
from gui.training.groups import PRESETS, Preset
from gui.training.settings_form import SettingsForm, scroll_area

if TYPE_CHECKING:
    from core.finetune_job import FinetuneSpec
    from core.probe_job import Probe
    from gui.main_window import MainWindow
    from gui.session import Session
    from gui.settings import Settings
    from gui.training.asked import Asked

PROBE = "training probe"
"""Key of the task that tries a few steps."""
_WIDTH, _HEIGHT, _RIGHT = 860, 620, 370
_REST_MS = 700
"""After an edit, before a few steps are tried again."""
_PROBED = ("batch", "optimiser", "loss", "features", "augmentation", "dropout", "held_out")
"""Settings that decide how long a step takes."""
_ROWS = (("train", "Train", "Samples whose errors the training lowers"),
         ("valid", "Validation", "Samples that are never trained on; the best epoch is chosen by them"),
         ("test", "Test", "Samples that nothing was chosen by; the result is compared with the original on those"))
"""Key, title and tool tip of each role of data."""
_WITHOUT_VALID = "{share:.0f} % of the training samples are held out."
_WITHOUT_TEST = "The result is judged on {what}, on which the best epoch was chosen as well."


def ask_training(window: QWidget) -> TrainingDialog:
    """Open the form over the window; accepting it starts the training and shows the Training lens."""
    main = cast("MainWindow", window)

    def asked(dialog: TrainingDialog) -> Asked | None:
        wish = dialog.wish()
        return None if wish is None else asked_of(main.session, wish)

    return ask(main, TrainingDialog(main.session, main.settings, window), asked)


class TrainingDialog(QDialog):
    """Settings, data, and what is foretold."""

    def __init__(self, session: Session, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Fine-tune")
        self._session, self._settings = session, settings
        self._probe: Probe | None = None
        self._probed: FinetuneSpec | None = None
        self.form = SettingsForm(self)
        self.train, self.valid, self.test = (DataRow(session, settings, *row, parent=self) for row in _ROWS)
        self.source, self.plan, self.what, self.time, self.bytes, self.trouble = (QLabel(self) for _ in range(6))
        self.start_button = QPushButton("Train", self)
        self.presets: list[QPushButton] = []
        self._again = QTimer(self, singleShot=True, interval=_REST_MS)
        self._again.timeout.connect(self._try_steps)
        self._lay_out()
        self._begin()
        self.form.edited.connect(self._edited)
        for row in (self.train, self.valid, self.test):
            row.changed.connect(self._edited)
        session.tasks.warm_training("core.finetune_job", "core.probe_job", "torch", "core.training.fit")
        self._edited()
        self.finished.connect(self._stop)
        self.form.fields["epochs"].editors()[0].setFocus()

    # -- parts ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.resize(_WIDTH, _HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 14)
        layout.setSpacing(10)
        model = self._session.model
        layout.addWidget(label(f"Fine-tune {model.name if model is not None else ''}", "heading"))
        layout.addLayout(self._preset_buttons())
        layout.addWidget(rule(self))
        middle = QHBoxLayout()
        middle.setSpacing(18)
        middle.addWidget(self.form.scrolled(self), 1)
        middle.addWidget(self._summary())
        layout.addLayout(middle, 1)
        layout.addLayout(self._buttons())

    def _preset_buttons(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(6)
        for preset in PRESETS:
            button = QPushButton(preset.title, self)
            button.setToolTip(preset.hint)
            button.setAutoDefault(False)
            button.clicked.connect(lambda _checked=False, preset=preset: self._put(preset))
            self.presets.append(button)
            line.addWidget(button)
        line.addStretch(1)
        return line

    def _summary(self) -> QScrollArea:
        area = scroll_area(self)
        area.setFixedWidth(_RIGHT)
        frame = QFrame(self)
        with_role(frame, "summary")
        column = QVBoxLayout(frame)
        column.setContentsMargins(14, 10, 14, 12)
        column.setSpacing(6)
        column.addWidget(label("Data", "title"))
        for row in (self.train, self.valid, self.test):
            column.addWidget(row)
        parts = (("Learns from", self.source), ("What is trained", self.plan), ("", self.what), ("Time", self.time),
                 ("Size", self.bytes))
        for title, words in parts:
            if title:
                column.addSpacing(4)
                column.addWidget(label(title, "title"))
            column.addWidget(words)
        column.addWidget(self.trouble)
        column.addStretch(1)
        for words in (self.source, self.plan, self.what, self.time, self.bytes, self.trouble):
            words.setWordWrap(True)
            words.setTextFormat(Qt.TextFormat.PlainText)
            with_role(words, "small")
        with_role(self.trouble, "small_bad")
        area.setWidget(frame)
        return area

    def _buttons(self) -> QHBoxLayout:
        line = QHBoxLayout()
        self.cancel_button = QPushButton("Cancel", self)
        self.cancel_button.setAutoDefault(False)
        self.cancel_button.clicked.connect(self.reject)
        with_role(self.start_button, "primary")
        self.start_button.setDefault(True)
        self.start_button.clicked.connect(self.accept)
        line.addStretch(1)
        line.addWidget(self.cancel_button)
        line.addWidget(self.start_button)
        return line

    # -- state ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The session's data, and what an opened run had, or what was asked for last of this model."""
        session = self._session
        self._not_learned = propose(session, self.train, self.valid, self.test)
        training, model = session.training, session.model
        asked = training.asked
        if training.offered is not None:
            self.form.show_settings(training.offered)
            self._read(training.offered_data)
        elif asked is not None and asked.kind == FINETUNE and model is not None and asked.model == model.path:
            spec = asked.spec
            self.form.show_settings(spec.settings)
            self._read({"train": spec.data_path, "valid": spec.valid_path, "test": spec.test_path})

    def _read(self, data: Mapping[str, str | None]) -> None:
        """Read the data of each role, where its file is still there."""
        for (role, _title, _hint), row in zip(_ROWS, (self.train, self.valid, self.test), strict=True):
            given = data.get(role)
            if given and Path(given).exists() and Path(given) != row.path:
                row.load(Path(given))
            elif not given:  # what was proposed
                row.put(None, None)

    def _put(self, preset: Preset) -> None:
        self.form.show_settings(replace(DEFAULT_TRAINING, **preset.values))
        self._edited()

    def _edited(self) -> None:
        """Say what follows from what is set, and try a few steps when the person rests."""
        session, settings, train = self._session, self.form.settings(), self.train.samples
        self.train.say_without(self._not_learned if self.train.path is None else "")
        self.valid.say_without(_WITHOUT_VALID.format(share=100 * settings.held_out))
        held_out = "the validation samples" if self.valid.path is not None else "the held-out samples"
        self.test.say_without(_WITHOUT_TEST.format(what=held_out))
        self.source.setText(source_words(settings, train) or "Choose samples first.")
        self.plan.setText(plan_words(session))
        self.bytes.setText(size_words(session))
        self._check()
        spec = self._probe_spec()
        if spec != self._probed:
            session.tasks.cancel(PROBE)
            self._probe, self._probed = None, None
            if spec is not None:
                self._again.start()
        self._show_probe()

    def _check(self, trouble: str = "") -> None:
        """Train can be pressed when all is well; else it says why not."""
        why = why_not(self.form.settings(), self.train.samples)
        if not why and any(row.trouble for row in (self.train, self.valid, self.test)):
            why = "One of the files does not fit the model"
        if not why and self._session.training.phase.at_work:
            why = "A training runs already: wait for it, or cancel it"
        self.start_button.setEnabled(not why and not self._reading)
        self.start_button.setToolTip(why or "Train (Return)")
        self.trouble.setText(trouble or why)
        self.trouble.setVisible(bool(trouble or why))

    @property
    def _reading(self) -> bool:
        return any(row.reading for row in (self.train, self.valid, self.test))

    # -- a few steps ------------------------------------------------------------------------------------------------

    def _probe_spec(self) -> FinetuneSpec | None:
        """What is tried: only what decides how long a step takes counts as another. None while nothing can be."""
        from core.finetune_job import FinetuneSpec

        session, settings = self._session, self.form.settings()
        model, recipe, path = session.model, session.recipe, self.train.path
        busy = session.training.phase.at_work
        if model is None or recipe is None or path is None or busy or why_not(settings, self.train.samples):
            return None
        counted = replace(DEFAULT_TRAINING, **{name: getattr(settings, name) for name in _PROBED})
        text = "" if recipe.does_nothing else recipe.dump()
        return FinetuneSpec(str(model.path), text, str(path), "", counted,
                            str(self.valid.path) if self.valid.path is not None else None,
                            options=session.data_options)  # fmt: skip

    def _try_steps(self) -> None:
        from core.probe_job import probe_training

        spec = self._probe_spec()
        if spec is None:
            return
        self._probed = spec
        self._session.tasks.training(PROBE, probe_training, spec, done=self._take_probe, failed=self._probe_failed)
        self._show_probe()

    def _take_probe(self, probe: Probe) -> None:
        self._probe = probe
        self._show_probe()

    def _probe_failed(self, error: FeatherweightError) -> None:
        self._show_probe()
        self._check(str(error))

    def _show_probe(self) -> None:
        measuring = self._again.isActive() or self._session.running(PROBE)
        probe = self._probe
        self.what.setText(probe_words(probe) if probe is not None else "")
        self.what.setVisible(probe is not None)
        seconds = probe.seconds_an_epoch if probe is not None else None
        self.time.setText(time_words(seconds, self.form.settings().epochs, measuring=measuring))

    def _stop(self) -> None:
        self._again.stop()
        self._session.tasks.cancel(PROBE)
        for row in (self.train, self.valid, self.test):
            row.stop()

    def wish(self) -> Wish | None:
        """What was asked for; None while something is wrong."""
        if not self.start_button.isEnabled() or self.train.path is None:
            return None
        return Wish(self.form.settings(), self.train.path, self.valid.path, self.test.path)
