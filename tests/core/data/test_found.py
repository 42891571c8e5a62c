"""What lies in data before it is loaded, and bad data of every kind in one sentence each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import DataOptions, Preprocessing, load_samples
from core.data.found import Part, class_counts, find_data
from core.data.options import parse_numbers, parse_size
from core.errors import DataError, ParameterError
from core.model.layer import Port

TWO = (Port("tokens", "int64", ("batch", 8)), Port("state", "float32", (2, "p2o.Dynamic.0", 4)))
PICTURE = (Port("x", "float32", ("batch", 3, 8, 12)),)


class Bomb:
    """Unpickling it would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_arrays_are_matched_with_inputs(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, tokens=np.ones((5, 9), np.int32), labels=np.arange(5), extra=np.ones(3))
    found = find_data(path, TWO)
    assert [(a.name, a.part) for a in found.arrays] == [
        ("tokens", Part.INPUT), ("state", Part.MISSING), ("labels", Part.LABELS), ("extra", Part.UNUSED),
    ]  # fmt: skip
    tokens, state = found.arrays[:2]
    assert tokens.form == "5 x 9 int32" and tokens.wants == "batch x 8 int64"
    assert "axis 1 must be 8, not 9" in tokens.problem
    assert state.wants == "2 x ? x 4 float32" and state.problem
    assert found.pictures == 0


def test_a_wrong_type_is_told_before_anything_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 8, 12), np.uint8))
    assert "wants float32 and array 'x' is uint8" in find_data(tmp_path / "x.npy", PICTURE).arrays[0].problem


def test_pickled_objects_are_refused_and_not_executed(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    objects = np.empty(1, object)
    objects[0] = Bomb(trace)
    np.savez(tmp_path / "data.npz", x=objects)
    with pytest.raises(DataError, match="holds Python objects, which are never loaded"):
        find_data(tmp_path / "data.npz", PICTURE)
    with pytest.raises(DataError, match="holds Python objects, which are never loaded"):
        load_samples(tmp_path / "data.npz", PICTURE)
    assert not trace.exists()
    np.load(tmp_path / "data.npz", allow_pickle=True)["x"]
    assert trace.exists()  # so the test can fail


def picture(path: Path, size: tuple[int, int] = (12, 8), colour: tuple[int, int, int] = (255, 0, 51)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_pictures_are_counted_by_class(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "cat" / f"{i}.png", (12 + i, 9))  # of mixed sizes
    picture(tmp_path / "dog" / "0.png")
    (tmp_path / "dog" / "1.png").write_bytes(b"broken")
    found = find_data(tmp_path, PICTURE)
    assert found.pictures == 5 and found.classes == (("cat", 3), ("dog", 2))
    samples = load_samples(tmp_path, PICTURE)
    assert class_counts(samples) == (("cat", 3), ("dog", 1))
    assert samples.feed(2)["x"].shape == (1, 3, 8, 12)
    assert samples.notes[0] == "1 of 5 pictures could not be read: dog/1.png."


def test_a_huge_picture_is_skipped_undecoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "huge.png", (400, 300))
    monkeypatch.setattr("core.data.images.LARGEST_PICTURE", 10_000)
    assert load_samples(tmp_path, PICTURE).notes[0] == "1 of 2 pictures could not be read: huge.png."


def test_other_means_need_no_file_again(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    samples = load_samples(tmp_path, PICTURE)
    (tmp_path / "a.png").unlink()
    how = Preprocessing(mean=(0.5,), std=(0.25,), channels="bgr")
    again = samples.with_options(DataOptions(how, "kl"))
    assert again is None  # from "auto" the channels may be others
    again = samples.with_options(DataOptions(Preprocessing(mean=(0.5,), std=(0.25,)), "kl"))
    assert again is not None and again.options.metric == "kl"
    np.testing.assert_allclose(again.feed(0)["x"], (samples.feed(0)["x"] - 0.5) / 0.25, atol=1e-6)
    assert samples.with_options(DataOptions(Preprocessing(crop=True))) is None


def test_labels_of_numbers(tmp_path: Path) -> None:
    ports = (Port("x", "float32", ("n", 2)),)
    np.savez(tmp_path / "a.npz", x=np.ones((6, 2), np.float32), labels=np.linspace(0, 1, 6))
    samples = load_samples(tmp_path / "a.npz", ports)
    assert samples.labels is not None and samples.class_labels is None and class_counts(samples) == ()
    assert samples.describe().endswith("float labels")
    np.savez(tmp_path / "b.npz", x=np.ones((6, 2), np.float32), labels=np.ones((6, 3, 1)))
    assert load_samples(tmp_path / "b.npz", ports).subset(2).labels.shape == (2, 3, 1)  # type: ignore[union-attr]


def test_one_sample_says_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((1, 2), np.float32))
    samples = load_samples(tmp_path / "a.npz", (Port("x", "float32", ("n", 2)),))
    assert samples.notes[0].startswith("There is only one sample")


@pytest.mark.parametrize(("text", "size"), [("224", (224, 224)), ("48x192", (48, 192)), (" 6 x 7 ", (6, 7))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "12x", "-3", "1x2x3", "1e3"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ParameterError, match="height and width"):
        parse_size(text)


def test_numbers() -> None:
    assert parse_numbers("0.485, 0.456,0.406", "m") == (0.485, 0.456, 0.406) and parse_numbers("-1", "m") == (-1.0,)
    for text in ("", "a", "1,2", "nan", "inf", "1;2;3"):
        with pytest.raises(ParameterError, match="one number, or three"):
            parse_numbers(text, "m")
