"""Guides through a transfer in four steps: data, where the head is cut, what is used, training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from core.errors import FeatherweightError
from core.methods.params import build
from core.transfer import settings as words
from core.transfer.settings import TransferSettings
from core.transfer_job import TransferSpec, look_at_transfer, propose_transfer
from gui.charts.card import label, restyle, rule, with_role
from gui.training.asking import ask
from gui.transfer.asked import asked_of
from gui.transfer.pages import CutPage, DataPage
from gui.transfer.training_page import TrainingPage
from gui.transfer.use_page import UsePage

if TYPE_CHECKING:
    from core.progress import Progress
    from core.transfer_job import Look, Proposal
    from gui.main_window import MainWindow
    from gui.session import Session
    from gui.settings import Settings

LOOK, PROPOSE = "transfer look", "transfer proposal"
"""Keys of the tasks that look at data and measure what it uses."""
STEPS = ("Data", "Head", "What is used", "Training")
DATA, HEAD, USE, TRAIN = range(4)
_WIDTH, _HEIGHT = 900, 620
_REST_MS = 250
"""After another file was chosen, before it is read: three files are often chosen one after another."""


def ask_transfer(window: QWidget) -> TransferDialog:
    """Open the dialog over the window; accepting it starts the transfer and shows the Training lens."""
    main = cast("MainWindow", window)
    dialog = TransferDialog(main.session, main.settings, window)
    return ask(main, dialog, lambda dialog: asked_of(dialog.spec()))


class TransferDialog(QDialog):
    """One step at a time; a step can be left when what it asks for is there."""

    def __init__(self, session: Session, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Transfer")
        self._session = session
        self.look: Look | None = None
        self.trouble = ""
        self._proposed: TransferSpec | None = None
        self.data, self.cut = DataPage(settings, self), CutPage(self)
        self.use, self.training = UsePage(self), TrainingPage(self)
        self.pages = QStackedWidget(self)
        for page in (self.data, self.cut, self.use, self.training):
            self.pages.addWidget(page)
        self.back_button, self.next_button = QPushButton("Back", self), QPushButton("Next", self)
        self.steps: list[QLabel] = []
        self._soon = QTimer(self, singleShot=True, interval=_REST_MS)
        self._soon.timeout.connect(self._look)
        self._lay_out()
        self.data.changed.connect(self._data_changed)
        for page in (self.cut, self.use, self.training):
            page.changed.connect(self._check)
        session.tasks.warm_training("core.transfer.course", "torch")
        self.finished.connect(self._stop)
        self.go(DATA)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.resize(_WIDTH, _HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 14)
        layout.setSpacing(10)
        model = self._session.model
        layout.addWidget(label(f"Transfer {model.name if model is not None else 'a model'} to other data", "heading"))
        line = QHBoxLayout()
        line.setSpacing(18)
        for number, title in enumerate(STEPS, 1):
            step = label(f"{number}  {title}", "caption", self)
            self.steps.append(step)
            line.addWidget(step)
        line.addStretch(1)
        layout.addLayout(line)
        layout.addWidget(rule(self))
        layout.addWidget(self.pages, 1)
        buttons = QHBoxLayout()
        cancel = QPushButton("Cancel", self)
        for button in (cancel, self.back_button):
            button.setAutoDefault(False)
        with_role(self.next_button, "primary")
        self.next_button.setDefault(True)
        cancel.clicked.connect(self.reject)
        self.back_button.clicked.connect(lambda _checked=False: self.go(self.step - 1))
        self.next_button.clicked.connect(lambda _checked=False: self._next())
        buttons.addWidget(cancel)
        buttons.addStretch(1)
        buttons.addWidget(self.back_button)
        buttons.addWidget(self.next_button)
        layout.addLayout(buttons)

    # -- steps ------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        return self.pages.currentIndex()

    def go(self, step: int) -> None:
        """Show a step."""
        self.pages.setCurrentIndex(step)
        for number, shown in enumerate(self.steps):
            restyle(shown, "title" if number == step else "caption")
        self.back_button.setEnabled(step > DATA)
        self.next_button.setText("Train" if step == TRAIN else "Next")
        if step == USE:
            self._propose()
        self._check()

    def _next(self) -> None:
        if self.step == TRAIN:
            self.accept()
        else:
            self.go(self.step + 1)

    def why_not(self) -> str:
        """Why the step cannot be left, or ""."""
        if self._session.model is None:
            return "Open a model first"
        if self.step == DATA:
            if self.data.rows["train"].path is None:
                return "Choose the new data"
            return self.trouble or ("" if self.look is not None else "The data is being read")
        if self.step == HEAD:
            return "" if self.cut.cut is not None else "Choose where to cut"
        if self.step == USE:
            return "" if self.use.proposal is not None else "The new head is being trained"
        return self.training.why_not()

    def _check(self) -> None:
        why = self.why_not()
        self.next_button.setEnabled(not why)
        self.next_button.setToolTip(why or ("Start the training (Return)" if self.step == TRAIN else "Go on (Return)"))
        if self.step == TRAIN:
            self.training.plan.setText(self._plan_words())

    # -- data -------------------------------------------------------------------------------------------------------

    def _data_changed(self) -> None:
        self.look, self.trouble = None, ""
        self.use.proposal = self._proposed = None
        self._session.tasks.cancel(LOOK)
        if self.data.rows["train"].path is not None:
            self.data.say("Reading\N{HORIZONTAL ELLIPSIS}")
            self._soon.start()
        else:
            self.data.say("")
        self._check()

    def _look(self) -> None:
        if self._session.model is None or self.data.rows["train"].path is None:
            return
        self._session.tasks.process(LOOK, look_at_transfer, self._base(), done=self._looked, failed=self._not_looked)

    def _looked(self, look: Look) -> None:
        self.look = look
        self.data.show_look(look)
        self.cut.show_cuts(look.cuts)
        self._check()

    def _not_looked(self, error: FeatherweightError) -> None:
        self.trouble = str(error)
        self.data.say(self.trouble, "small_bad")
        self._check()

    def _base(self) -> TransferSpec:
        """What is known in every step: model and data."""
        model = self._session.model
        if model is None:
            raise FeatherweightError("no model is open", do="open one first")
        paths = {key: None if row.path is None else str(row.path) for key, row in self.data.rows.items()}
        return TransferSpec(
            str(model.path), paths["train"] or "", "", valid_path=paths["valid"], test_path=paths["test"],
            options=self._session.data_options,
        )  # fmt: skip

    # -- what is used -------------------------------------------------------------------------------------------------

    def _propose(self) -> None:
        """Measure for the chosen cut and head, unless that was done already."""
        cut = self.cut.cut
        wanted = replace(
            self._base(), at=cut.key if cut is not None else "", training=self.training.form.settings(),
            settings=build(TransferSettings, dict(self.cut.head.values)),
        )  # fmt: skip
        if wanted == self._proposed and self.use.proposal is not None:
            return
        self._proposed, self.use.proposal = wanted, None
        self.use.wait(0.0, "")
        self._session.tasks.training(PROPOSE, propose_transfer, wanted, title="Measuring what the new data uses",
                                     done=self._take_proposal, failed=self._no_proposal,
                                     progress=self._hear, cancelled=lambda: None)  # fmt: skip

    def _hear(self, progress: Progress) -> None:
        if self.use.proposal is None:
            self.use.wait(progress.done, progress.text)

    def _take_proposal(self, proposal: Proposal) -> None:
        self.use.show_proposal(proposal)
        self._check()

    def _no_proposal(self, error: FeatherweightError) -> None:
        self._proposed = None
        self.use.fail(str(error))
        self._check()

    # -- training -----------------------------------------------------------------------------------------------------

    def settings(self) -> TransferSettings:
        """All that was chosen."""
        values = self.cut.head.values | self.use.fields.values
        values |= self.training.fields.values | self.training.more.values
        return build(TransferSettings, values)

    def spec(self) -> TransferSpec:
        """The transfer that was asked for; its file lies where trainings of the session write theirs."""
        model, cut = self._session.model, self.cut.cut
        if model is None or cut is None:
            raise FeatherweightError("no model is open", do="open one first")
        settings = self.settings()
        return replace(
            self._base(), target=str(self._session.runs.trained_file(model.path)), at=cut.key, settings=settings,
            training=self.training.form.settings(),
            size=self.training.limit.text().strip() if settings.compress == words.SIZE else "",
            runs_folder=str(self._session.runs_folder), parent_run=self._session.runs.parent_of(model) or None,
            passing=True,
        )  # fmt: skip

    def _plan_words(self) -> str:
        settings, epochs = self.settings(), self.training.form.settings().epochs
        kept = len(self.use.kept)
        parts = [f"The new head alone: up to {settings.head_epochs:,} epochs."]
        if self.use.chart.going:
            n = self.use.chart.going
            parts.append(f"Then {n:,} channel{' is' if n == 1 else 's are'} cut.")
        if settings.freeze != words.ALL:
            parts.append(f"Then all layers{f' but {kept:,}' if kept else ''}: up to {epochs:,} epochs at "
                         f"{settings.slower:.0%} of the learning rate.")  # fmt: skip
        if settings.compress != words.NONE:
            parts.append(f"Then it is compressed and trained for up to {settings.tune_epochs:,} epochs more.")
        if settings.compare:
            parts.append("At last the same network is trained from random weights, to compare.")
        return "\n".join(parts)

    def _stop(self) -> None:
        self._soon.stop()
        for key in (LOOK, PROPOSE):
            self._session.tasks.cancel(key)
