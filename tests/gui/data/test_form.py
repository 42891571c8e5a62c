"""The form for data: what it shows, what it refuses, what it puts into the session and keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from core.data import DataOptions, Preprocessing
from core.data.keeping import options_dict, options_from
from gui.data import metric_box
from gui.data.form import DataForm, split_words
from gui.session import Session
from gui.settings import Settings

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]
MakeForm = Callable[[Path], DataForm]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(2)
    path = tmp_path / "data.npz"
    np.savez(path, x=random.normal(size=(20, 16)).astype(np.float32), labels=random.integers(0, 4, 20))
    return path


@pytest.fixture
def make_form(qtbot: QtBot, session: Session, settings: Settings, opened: Opened) -> Iterator[MakeForm]:
    made: list[DataForm] = []

    def make(model: Path) -> DataForm:
        opened(session, model)
        made.append(DataForm(session, settings))
        made[-1].show()
        return made[-1]

    yield make
    for form in made:
        if isValid(form):
            form.close()
    qtbot.waitUntil(lambda: not any(map(isValid, made)), timeout=PATIENCE_MS)


@pytest.fixture
def form(make_form: MakeForm, mlp_path: Path) -> DataForm:
    return make_form(mlp_path)


def loaded(form: DataForm, qtbot: QtBot, path: Path) -> None:
    form.load(path)
    qtbot.waitUntil(lambda: not form.bar.isVisible(), timeout=PATIENCE_MS)


def test_the_whole_way(form: DataForm, session: Session, qtbot: QtBot, data: Path) -> None:
    assert not form.use.isEnabled() and "Nothing is chosen" in form.place.text()
    loaded(form, qtbot, data)
    assert "fits" in form.found.text and "20 × 16 float32" in form.found.text and "4 classes" in form.found.text
    assert form.metric_box.choice.currentText() == "Automatic: accuracy (top-1)"
    assert "class numbers, not text" in form.metric_box.others.plain_text
    assert form.split.text().startswith("10 samples to calibrate, 10 to measure")
    qtbot.waitUntil(lambda: "1 of 20" in form.sample.title.text(), timeout=PATIENCE_MS)
    form.sample.forward.click()
    qtbot.waitUntil(lambda: "2 of 20" in form.sample.title.text(), timeout=PATIENCE_MS)
    assert "min" in form.sample.lines.text() and "mean" in form.sample.lines.text()
    form.metric_box.choice.setCurrentIndex(form.metric_box.choice.findData("f1"))
    assert "precision and recall" in form.metric_box.what.plain_text
    form.use.click()
    assert session.samples is not None and session.data_path == data and session.data_options.metric == "f1"


def test_what_does_not_fit_is_told_and_cannot_be_used(form: DataForm, qtbot: QtBot, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", y=np.ones((3, 2), np.float32))
    loaded(form, qtbot, tmp_path / "other.npz")
    assert "missing" in form.found.text and "name the arrays after the model's inputs" in form.found.text
    assert not form.use.isEnabled() and form.use.toolTip()
    np.savez(tmp_path / "wide.npz", x=np.ones((3, 17), np.float32))
    loaded(form, qtbot, tmp_path / "wide.npz")
    assert "does not fit" in form.found.text and "must be 16, not 17" in form.found.text
    (tmp_path / "empty").mkdir()
    loaded(form, qtbot, tmp_path / "empty")
    assert not form.use.isEnabled() and form.found.notes.text()


def test_closing_changes_nothing(form: DataForm, session: Session, qtbot: QtBot, data: Path) -> None:
    loaded(form, qtbot, data)
    form.reject()
    assert session.samples is None and session.data_path is None


def test_loading_can_be_stopped(form: DataForm, session: Session, qtbot: QtBot, data: Path) -> None:
    form.load(data)
    form.stop.click()
    qtbot.waitUntil(lambda: not form.bar.isVisible(), timeout=PATIENCE_MS)
    assert "stopped" in form.found.text and not form.use.isEnabled()
    loaded(form, qtbot, data)
    assert form.use.isEnabled()


def test_pictures(qtbot: QtBot, session: Session, make_form: MakeForm, cnn_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for i, name in enumerate(("cat", "dog", "dog")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i, 16), (255, 128, 0)).save(folder / name / f"{i}.png")
    (folder / "cat" / "broken.png").write_bytes(b"none")
    form = make_form(cnn_path)
    assert not form.fields.isVisible()
    loaded(form, qtbot, folder)
    assert form.fields.isVisible() and "4 pictures" in form.found.text and "cat/broken.png" in form.found.text
    qtbot.waitUntil(lambda: form.sample.picture.image() is not None, timeout=PATIENCE_MS)
    form.fields.preset.setCurrentIndex(form.fields.preset.findData("symmetric"))
    qtbot.waitUntil(lambda: "max 1" in form.sample.lines.text() and "min −1" in form.sample.lines.text(),
                    timeout=PATIENCE_MS)
    form.fields.mean.setText("1,2")
    assert "one number, or three" in form.fields.problem.text() and not form.use.isEnabled()
    form.fields.preset.setCurrentIndex(form.fields.preset.findData("imagenet"))
    qtbot.waitUntil(form.use.isEnabled, timeout=PATIENCE_MS)
    form.use.click()
    assert session.data_options.preprocessing.mean == (0.485, 0.456, 0.406)


def test_own_code_is_named_and_runs_only_when_allowed(form: DataForm, session: Session, qtbot: QtBot, data: Path,
                                                      tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "mine.py"
    code.write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\ndef f(o, l, i): return 1\n",
                    encoding="utf-8")
    loaded(form, qtbot, data)
    box = form.metric_box
    box.choice.setCurrentIndex(box.choice.findData(metric_box.OWN))
    assert not form.use.isEnabled()
    box.callable_edit.setText(f"{code}:f")
    assert form.use.isEnabled()
    asked: list[str] = []

    def refuse(asking: QMessageBox) -> int:
        asked.append(f"{asking.text()} {asking.informativeText()}")
        asking.defaultButton().click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", refuse)
    form.use.click()
    assert len(asked) == 1 and str(code) in asked[0] and "function f" in asked[0]
    assert session.samples is None and form.isVisible()
    monkeypatch.setattr(metric_box, "allowed", lambda _parent, _source: True)
    form.use.click()
    options = session.data_options
    assert options.metric_callable == f"{code}:f" and len(options.confirmed) == 64
    assert not (tmp_path / "ran").exists()


def test_options_come_back() -> None:
    how = Preprocessing((8, 9), True, "bgr", "nhwc", 1.0, (1.0, 2.0, 3.0), (4.0,))
    options = DataOptions(how, "kl", "a.py:f", "ab")
    assert options_from(options_dict(options)) == options
    plain = options_dict(options)
    for damaged in (None, 3, {}, plain | {"metric": 3}, plain | {"preprocessing": {}},
                    plain | {"preprocessing": plain["preprocessing"] | {"std": [0.0]}},
                    plain | {"preprocessing": plain["preprocessing"] | {"mean": ["x"]}}):
        assert options_from(damaged) is None


@pytest.mark.parametrize(
    ("n", "words"),
    [(1, "1 sample, which calibrates and measures"), (2, "1 sample to calibrate, 1 to measure"),
     (256, "64 samples to calibrate, 192 to measure")],
)  # fmt: skip
def test_the_split_is_the_one_that_is_made(n: int, words: str) -> None:
    assert split_words(n).startswith(words)
