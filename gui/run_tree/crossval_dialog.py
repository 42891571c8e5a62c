"""Asks how to cross-validate: settings at the left; data, folds, comparison and what will happen at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from core.errors import FeatherweightError
from core.training.settings import TrainingSettings
from gui.charts.card import label, restyle, rule, with_role
from gui.run_tree.crossval import asked_of
from gui.training.asking import ask
from gui.training.data_rows import DataRow, propose
from gui.training.settings_form import SettingsForm

if TYPE_CHECKING:
    from core.training.variants import Trial
    from gui.main_window import MainWindow
    from gui.session import Session
    from gui.settings import Settings
    from gui.training.asked import Asked

_WIDTH, _HEIGHT, _RIGHT = 860, 620, 370
_FOLDS = 5
NOTHING, EVERY, OWN = "nothing", "every", "own"
_CHOICES = {NOTHING: "Nothing, only these settings", EVERY: "Every regularisation against none", OWN: "These changes:"}
_EXAMPLE = "weight_decay=1e-4, dropout=20%"


def ask_crossval(window: QWidget) -> CrossvalDialog | None:
    """Open the form over the window; accepting it starts the folds and shows the Training lens. None: no model."""
    main = cast("MainWindow", window)
    if main.session.model is None:
        return None

    def asked(dialog: CrossvalDialog) -> Asked | None:
        path, trial = dialog.data.path, dialog.trial()
        if path is None or trial is None:
            return None
        return asked_of(main.session, trial.base, path, dialog.folds.value(), trial.variants, every=dialog.every)

    return ask(main, CrossvalDialog(main.session, main.settings, window), asked)


class CrossvalDialog(QDialog):
    """Settings of the training, and how it is divided and compared."""

    def __init__(self, session: Session, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Cross-validate")
        self._session = session
        self.form = SettingsForm(self)
        self.data = DataRow(session, settings, "folds", "Samples", "They are divided into folds", parent=self)
        self.folds = QSpinBox(self, minimum=2, maximum=50, value=_FOLDS)
        self.folds.setAccessibleName("Folds")
        self.compare = QComboBox(self)
        for key, words in _CHOICES.items():
            self.compare.addItem(words, key)
        self.compare.setAccessibleName("Compare with")
        self.changes = QLineEdit(self)
        self.changes.setPlaceholderText(_EXAMPLE)
        self.changes.setAccessibleName("Changed settings")
        self.changes.setToolTip("Settings to train with on the same folds, each for itself; + joins two")
        self.what, self.trouble = QLabel(self), QLabel(self)
        self.start_button = QPushButton("Cross-validate", self)
        self._lay_out()
        if session.training.offered is not None:
            self.form.show_settings(session.training.offered)
        self._not_learned = propose(session, self.data)
        self.form.edited.connect(self._show)
        self.data.changed.connect(self._show)
        self.folds.valueChanged.connect(lambda _value: self._show())
        self.compare.currentIndexChanged.connect(lambda _at: self._show())
        self.changes.textChanged.connect(lambda _text: self._show())
        self._show()
        self.finished.connect(lambda _code: self.data.stop())

    # -- what is asked ------------------------------------------------------------------------------------------------

    @property
    def every(self) -> bool:
        """Whether every way to regularise is compared."""
        return bool(self.compare.currentData() == EVERY)

    def trial(self) -> Trial | None:
        """The base and what is compared with it; None when the changes cannot be read."""
        from core.training.variants import parse

        try:
            own = self.changes.text() if self.compare.currentData() == OWN else ""
            return parse(own, self.form.settings())
        except FeatherweightError:
            return None

    def why_not(self) -> str:
        """Why it cannot begin, a sentence, or ""."""
        from core.training.folds import make_folds
        from core.training.variants import parse

        samples = self.data.samples
        if self.data.trouble:
            return self.data.trouble
        if samples is None:
            return "Reading the samples." if self.data.reading else "Choose the samples to divide."
        try:
            make_folds(samples, self.folds.value(), 0)
            own = self.compare.currentData() == OWN
            if own and len(parse(self.changes.text(), self.form.settings()).variants) < 2:
                return f"Name the settings to compare: {_EXAMPLE}."
        except FeatherweightError as error:
            return str(error)
        return ""

    def _trainings(self) -> int:
        from core.training.variants import regularisations

        if self.every:
            samples = self.data.samples
            pictures = samples is not None and any(len(port.shape or ()) == 4 for port in samples.inputs)
            return self.folds.value() * len(regularisations(TrainingSettings(), pictures=pictures).variants)
        trial = self.trial()
        return self.folds.value() * (1 if trial is None else len(trial.variants))

    def _words(self) -> str:
        samples, folds, epochs = self.data.samples, self.folds.value(), self.form.settings().epochs
        n = self._trainings()
        lines = [f"{n} trainings of up to {epochs} epochs each, each on {folds - 1} of {folds} parts of the samples."]
        if samples is not None:
            way = "with the same share of every class" if samples.class_labels is not None else "drawn at random"
            lines.append(f"Each fold is tested on about {samples.n // folds:,} samples {way}, which it never sees; "
                         "some of the others are held out to choose its best epoch.")
            from core.training.folds import rare_classes

            lines.append(rare_classes(samples.class_labels, folds))
        recipe = self._session.recipe
        if recipe is None or recipe.does_nothing:
            lines.append("The plan has no steps: the model is trained as it is stored.")
        lines.append("Figures come with their spread over the folds; no file is written. It can be paused and resumed.")
        return "\n\n".join(filter(None, lines))

    def _show(self) -> None:
        self.changes.setVisible(self.compare.currentData() == OWN)
        self.what.setText(self._words())
        self.data.say_without(self._not_learned if self.data.path is None else "")
        why = self.why_not()
        self.trouble.setText(why)
        self.trouble.setVisible(bool(why))
        restyle(self.trouble, "small" if self.data.reading else "small_bad")
        self.start_button.setEnabled(not why)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.resize(_WIDTH, _HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 14)
        layout.setSpacing(10)
        model = self._session.model
        layout.addWidget(label(f"Cross-validate {model.name if model is not None else ''}", "heading"))
        layout.addWidget(rule(self))
        middle = QHBoxLayout()
        middle.setSpacing(18)
        middle.addWidget(self.form.scrolled(self), 1)
        middle.addWidget(self._summary())
        layout.addLayout(middle, 1)
        cancel = QPushButton("Cancel", self)
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        with_role(self.start_button, "primary")
        self.start_button.setDefault(True)
        self.start_button.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.start_button)
        layout.addLayout(buttons)

    def _summary(self) -> QFrame:
        frame = QFrame(self)
        with_role(frame, "summary")
        frame.setFixedWidth(_RIGHT)
        column = QVBoxLayout(frame)
        column.setContentsMargins(14, 10, 14, 12)
        column.setSpacing(6)
        column.addWidget(label("Data", "title"))
        column.addWidget(self.data)
        column.addSpacing(4)
        column.addWidget(label("Folds", "title"))
        form = QFormLayout()
        form.addRow("Parts", self.folds)
        form.addRow("Compare", self.compare)
        form.addRow(self.changes)
        column.addLayout(form)
        column.addSpacing(4)
        column.addWidget(label("What will happen", "title"))
        for words in (self.what, self.trouble):
            words.setWordWrap(True)
            words.setTextFormat(Qt.TextFormat.PlainText)
            with_role(words, "small")
            column.addWidget(words)
        column.addStretch(1)
        return frame
