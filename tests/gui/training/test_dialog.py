"""The form: fields from the declarations, presets, data, what is foretold, and when Train can be pressed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made import write_clusters
from pytestqt.qtbot import QtBot

from core.methods.params import specs
from core.probe_job import Probe
from core.training.settings import TrainingSettings
from gui.session import Session
from gui.settings import Settings
from gui.training.dialog import PROBE, TrainingDialog
from gui.training.foretold import duration, probe_words
from gui.training.groups import PRESETS, grouped

PATIENCE_MS = 20_000


class FakeProbe:
    """Takes the place of the training process for the task that tries a few steps."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.specs: list[Any] = []
        self.answers: dict[str, Any] = {}
        monkeypatch.setattr(session.tasks, "training", self._training)
        monkeypatch.setattr(session.tasks, "warm_training", lambda *modules: None)

    def _training(self, key: str, job: Any, spec: Any, **answers: Any) -> None:
        assert key == PROBE
        self.specs.append(spec)
        self.answers = answers


@pytest.fixture
def probe(session: Session, monkeypatch: pytest.MonkeyPatch) -> FakeProbe:
    return FakeProbe(session, monkeypatch)


@pytest.fixture
def dialog(ready: Session, settings: Settings, qtbot: QtBot, probe: FakeProbe) -> TrainingDialog:
    made = TrainingDialog(ready, settings)
    qtbot.addWidget(made)
    made.form.complete()
    made.show()
    return made


def test_every_setting_has_one_place() -> None:
    names = [spec.name for spec in specs(TrainingSettings)]
    placed = [name for group in grouped(names).values() for name in group]
    assert sorted(placed) == sorted(names)
    assert grouped([*names, "new_one"])[list(grouped(names))[-1]][-1] == "new_one"  # a new setting is shown too


def test_basics_are_shown_and_the_rest_opens(dialog: TrainingDialog) -> None:
    fields = dialog.form.fields
    assert set(fields) == {spec.name for spec in specs(TrainingSettings)}
    assert fields["epochs"].isVisible() and not fields["dropout"].isVisible()
    dialog.form.more.click()
    assert fields["dropout"].isVisible()
    assert not fields["momentum"].isVisible()  # of SGD alone
    fields["optimiser"].set_value("sgd")
    fields["optimiser"].edited.emit("sgd", 1)
    assert fields["momentum"].isVisible()
    assert dialog.form.settings().optimiser == "sgd"


def test_fields_follow_by_themselves_and_take_what_was_set_meanwhile(
    ready: Session, settings: Settings, qtbot: QtBot, probe: FakeProbe
) -> None:
    made = TrainingDialog(ready, settings)
    qtbot.addWidget(made)
    assert "dropout" not in made.form.fields  # making all of them at once would hold the window up
    made.form.show_settings(TrainingSettings(dropout=0.25))
    qtbot.waitUntil(lambda: len(made.form.fields) == len(specs(TrainingSettings)), timeout=PATIENCE_MS)
    assert made.form.fields["dropout"].value() == 0.25


def test_presets_set_the_whole_form(dialog: TrainingDialog) -> None:
    dialog.form.fields["dropout"].edited.emit(0.5, 1)
    for button, preset in zip(dialog.presets, PRESETS, strict=True):
        button.click()
        settings = dialog.form.settings()
        assert {name: getattr(settings, name) for name in preset.values} == dict(preset.values)
        assert settings.dropout == 0.0


def test_data_is_said_plainly(dialog: TrainingDialog, tmp_path: Path, qtbot: QtBot) -> None:
    assert dialog.train.found.text() == "120 samples, labels of 6 classes"
    assert dialog.valid.found.text() == "15 % of the training samples are held out."
    assert "best epoch was chosen as well" in dialog.test.found.text()
    share = dialog.form.settings().distill_share
    assert dialog.source.text().startswith(f"Learns from the labels and, to {100 * share:.0f} %, from the original")
    dialog.train.load(write_clusters(tmp_path / "bare.npz", 40, labels=False))
    assert not dialog.start_button.isEnabled()  # while it is read
    qtbot.waitUntil(lambda: dialog.train.samples is not None, timeout=PATIENCE_MS)
    assert dialog.train.found.text() == "40 samples, no labels"
    assert dialog.source.text() == "Learns from the original model's answers."
    dialog.form.fields["loss"].edited.emit("labels", 1)
    assert not dialog.start_button.isEnabled() and "no labels to learn from" in dialog.trouble.text()
    dialog.form.fields["loss"].edited.emit("distill", 2)
    dialog.test.load(write_clusters(tmp_path / "test.npz", 30))
    qtbot.waitUntil(dialog.start_button.isEnabled, timeout=PATIENCE_MS)
    wish = dialog.wish()
    assert wish is not None and wish.train.name == "bare.npz" and wish.valid is None
    assert wish.test is not None and wish.test.name == "test.npz" and wish.settings.loss == "distill"


def test_a_file_that_does_not_fit_is_told_and_can_be_taken_back(
    dialog: TrainingDialog, tmp_path: Path, qtbot: QtBot
) -> None:
    (tmp_path / "text.npz").write_text("this is no archive")
    dialog.valid.load(tmp_path / "text.npz")
    qtbot.waitUntil(lambda: bool(dialog.valid.trouble), timeout=PATIENCE_MS)
    assert not dialog.start_button.isEnabled() and "text.npz" in dialog.valid.found.text()
    dialog.valid.forget.click()
    assert dialog.start_button.isEnabled()


def test_a_few_steps_foretell_time_and_what_stays(dialog: TrainingDialog, probe: FakeProbe, qtbot: QtBot) -> None:
    assert "Being measured" in dialog.time.text()
    qtbot.waitUntil(lambda: bool(probe.specs), timeout=PATIENCE_MS)
    assert probe.specs[0].recipe_text and probe.specs[0].target == ""
    probe.answers["done"](Probe(2.0, 14_400, (("a.weight", "binary codes have no table"),), ("One at a time.",)))
    assert "About 2.0 s an epoch, 40 s in all" in dialog.time.text()
    assert "14.4 k values" in dialog.what.text() or "14 k values" in dialog.what.text()
    assert "a.weight: binary codes have no table" in dialog.what.text() and "One at a time." in dialog.what.text()
    dialog.form.fields["epochs"].edited.emit(50, 1)
    assert "2 min in all" in dialog.time.text() and len(probe.specs) == 1  # more epochs are no other steps
    dialog.form.fields["batch"].edited.emit(16, 2)
    qtbot.waitUntil(lambda: len(probe.specs) == 2, timeout=PATIENCE_MS)
    assert probe.specs[1].settings.batch == 16


def test_size_and_plan_are_foretold_honestly(dialog: TrainingDialog, ready: Session) -> None:
    assert "3 layers are compressed by the plan, then trained as stored" in dialog.plan.text()
    assert "Training changes values, not how they are stored" in dialog.bytes.text()
    ready.set_steps([layer.name for layer in ready.model.layers if ready.model is not None], None)
    dialog.form.edited.emit()
    assert "no steps" in dialog.plan.text() and "stays at" in dialog.bytes.text()


def test_without_data_the_form_says_so(
    session: Session, settings: Settings, qtbot: QtBot, opened: Any, probe: FakeProbe, tmp_path: Path
) -> None:
    from made import write_planned_model

    opened(session, write_planned_model(tmp_path / "planned.onnx"))
    dialog = TrainingDialog(session, settings)
    qtbot.addWidget(dialog)
    assert not dialog.start_button.isEnabled() and dialog.wish() is None
    assert dialog.trouble.text() == "Choose samples to train on"


@pytest.mark.parametrize(("name", "role"), [
    ("test.npz", "test"), ("vit_valid.npz", "valid"), ("Validation-set.npz", "valid"), ("latest.npz", "train"),
])  # fmt: skip
def test_loaded_data_is_put_where_its_name_says(
    ready: Session, settings: Settings, qtbot: QtBot, probe: FakeProbe, tmp_path: Path, name: str, role: str
) -> None:
    path = write_clusters(tmp_path / name, n=30)
    ready.load_data(path)
    qtbot.waitUntil(lambda: ready.data_path == path, timeout=PATIENCE_MS)
    dialog = TrainingDialog(ready, settings)
    qtbot.addWidget(dialog)
    rows = {"train": dialog.train, "valid": dialog.valid, "test": dialog.test}
    assert {key: row.path for key, row in rows.items() if row.path is not None} == {role: path}
    assert (f"By its name {name} is" in dialog.train.found.text()) == (role != "train")
    assert dialog.start_button.isEnabled() == (role == "train")


def test_the_form_begins_with_the_settings_and_the_data_of_an_opened_run(
    ready: Session, settings: Settings, qtbot: QtBot, probe: FakeProbe, tmp_path: Path
) -> None:
    train = write_clusters(tmp_path / "of_the_run.npz", n=30)
    ready.training.offered = TrainingSettings(epochs=7)
    ready.training.offered_data = {"train": str(train), "valid": str(tmp_path / "gone.npz")}
    dialog = TrainingDialog(ready, settings)
    qtbot.addWidget(dialog)
    assert dialog.form.settings().epochs == 7
    qtbot.waitUntil(lambda: dialog.train.samples is not None and dialog.train.samples.n == 30, timeout=PATIENCE_MS)
    assert dialog.train.path == train and dialog.valid.path is None


def test_words_of_times_and_probes() -> None:
    assert [duration(s) for s in (0.42, 12.3, 200, 9000)] == ["0.4 s", "12 s", "3 min", "2.5 h"]
    frozen = tuple((f"layer{i}", "its codes are hashed") for i in range(5))
    assert probe_words(Probe(1.0, 5, frozen, ())).endswith("and 2 more.")
