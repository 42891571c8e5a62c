"""The sample that ships: its files, and that its stated accuracy is what stock ONNX Runtime measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from core import sample as module
from core.errors import InternalError
from core.sample import SamplePaths, sample_paths


def test_stated_accuracy_is_the_measured_one(sample: SamplePaths) -> None:
    info = sample.read_info()
    session = onnxruntime.InferenceSession(str(sample.model), providers=["CPUExecutionProvider"])
    with np.load(sample.data, allow_pickle=False) as data:
        (logits,) = session.run(None, {"image": data["image"]})
        measured = float((np.asarray(logits).argmax(1) == data["labels"]).mean())
        assert len(data["labels"]) == info["test_samples"]
    # one picture of 500 may fall on the other side on another processor
    assert measured == pytest.approx(info["accuracy"], abs=1 / info["test_samples"])
    assert measured >= 0.97


def test_calibration_and_test_pictures_are_disjoint(sample: SamplePaths) -> None:
    with np.load(sample.data, allow_pickle=False) as data, np.load(sample.calib, allow_pickle=False) as calib:
        test_pictures = {picture.tobytes() for picture in data["image"]}
        assert len(calib["image"]) == sample.read_info()["calib_samples"]
        assert not any(picture.tobytes() in test_pictures for picture in calib["image"])


def test_info_names_source_and_licence(sample: SamplePaths) -> None:
    info = sample.read_info()
    assert "UCI" in info["data"]
    assert info["data_licence"] == "CC BY 4.0"


def test_missing_file_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.resources, "path", lambda _name: tmp_path)
    with pytest.raises(InternalError, match=r"the sample lacks model\.onnx, test\.npz, calib\.npz, info\.json"):
        sample_paths()
