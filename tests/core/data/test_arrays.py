"""Data files: every misfit is a DataError whose sentence names what is wanted and what is given."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.data import load_samples
from core.data.arrays import ArrayFile
from core.errors import DataError
from core.model.layer import Port

IMAGE = (Port("image", "float32", ("batch", 1, 4, 4)),)
TWO = (Port("ids", "int64", ("batch", "length")), Port("mask", "int64", ("batch", "length")))
STATE = (Port("input", "float32", (None, 0)), Port("state", "float32", (2, 0, 8)), Port("sr", "int64", ()))


def pictures(n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).random((n, 1, 4, 4), np.float32)


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "data.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_samples_are_cut_along_the_first_axis(tmp_path: Path) -> None:
    data = pictures()
    samples = load_samples(npz(tmp_path, image=data, labels=np.arange(6)), IMAGE)
    assert samples.n == 6
    assert samples.input_names == ("image",)
    np.testing.assert_array_equal(samples.feed(2)["image"], data[2:3])
    np.testing.assert_array_equal(samples.class_labels, np.arange(6))
    assert samples.describe() == "6 samples: image float32 1 x 4 x 4; labels of 6 classes"


def test_an_axis_more_is_fed_as_it_is_and_axes_of_size_0_are_free(tmp_path: Path) -> None:
    state = np.random.default_rng(1).random((5, 2, 1, 8), np.float32)
    path = npz(
        tmp_path,
        input=np.ones((5, 1, 16), np.float32),
        state=state,
        sr=np.full(5, 16000),
        start=np.zeros(5, bool),
    )
    samples = load_samples(path, STATE)
    feed = samples.feed(3)
    assert feed["input"].shape == (1, 16)
    np.testing.assert_array_equal(feed["state"], state[3])
    assert feed["sr"].shape == () and feed["sr"] == 16000
    assert samples.notes == ("Not used: 'start', as the model has no such input.",)
    assert not samples.batchable
    with pytest.raises(DataError, match="input 'input' takes one sample at a time"):
        list(samples.batches(2))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_stored_and_compressed_files_give_the_same(tmp_path: Path, save) -> None:
    data = pictures()
    save(tmp_path / "data.npz", image=np.asfortranarray(data), labels=np.arange(6))
    samples = load_samples(tmp_path / "data.npz", IMAGE)
    np.testing.assert_array_equal(np.concatenate([f["image"] for f in samples.feeds()]), data)
    assert samples.feed(0)["image"].flags.c_contiguous
    assert samples.feed(0)["image"].flags.aligned


def test_stored_arrays_are_mapped_and_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", image=pictures())
    array = ArrayFile(tmp_path / "data.npz").read(("image",))["image"]
    assert isinstance(array, np.memmap)


def test_npy_for_one_input(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", pictures())
    assert load_samples(tmp_path / "data.npy", IMAGE).n == 6
    with pytest.raises(DataError, match=r"holds one array and the model has 2 inputs: 'ids', 'mask'"):
        load_samples(tmp_path / "data.npy", TWO)


def test_batches_and_subset(tmp_path: Path) -> None:
    data = pictures(10)
    samples = load_samples(npz(tmp_path, image=data, labels=np.arange(10)), IMAGE)
    assert [b["image"].shape[0] for b in samples.batches(4)] == [4, 4, 2]
    some = samples.subset(4, seed=3)
    assert some.n == 4 and some.labels is not None
    np.testing.assert_array_equal(some.labels, samples.subset(4, seed=3).labels)
    assert list(some.labels) == sorted(set(some.labels))
    np.testing.assert_array_equal(some.feed(1)["image"], data[some.labels[1]][None])
    assert some.name(1) == f"sample {some.labels[1]}"
    assert samples.subset(99) is samples


def test_samples_pickle(tmp_path: Path) -> None:
    samples = load_samples(npz(tmp_path, image=pictures()), IMAGE)
    again = pickle.loads(pickle.dumps(samples))
    np.testing.assert_array_equal(again.feed(1)["image"], samples.feed(1)["image"])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("float64", "float32"), ("float16", "float32"), ("int32", "int64"), ("int64", "int32"), (">f4", "float32")],
)
def test_harmless_types_are_converted(tmp_path: Path, given: str, wanted: str) -> None:
    samples = load_samples(npz(tmp_path, x=np.ones((3, 2), given)), (Port("x", wanted, ("n", 2)),))
    assert samples.feed(0)["x"].dtype == np.dtype(wanted)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"picture": pictures()}, "no array for 'image': the file has 'picture' and the model's inputs are 'image'"),
        ({"image": pictures()[:, 0]}, "has 3 axes 6 x 4 x 4"),
        ({"image": np.ones((6, 1, 4, 5), np.float32)}, "wants batch x 1 x 4 x 4 .* axis 3 must be 4, not 5"),
        ({"image": np.ones((6, 1, 4, 4), np.uint8)}, "wants float32 and array 'image' is uint8"),
        ({"image": np.ones((6, 1, 4, 4), np.complex64)}, "arrays of complex64 are not supported"),
        ({"image": pictures(0)}, "there are no samples in it"),
        ({"image": pictures(), "labels": np.arange(5)}, "there are 6 samples and 5 labels"),
        ({"image": pictures(), "labels": np.array(1)}, "array 'labels' is a single value"),
        ({"image": pictures(), "labels": np.full(6, np.nan)}, "array 'labels' has NaN or infinity in 6 samples"),
        ({"image": pictures(), "labels": np.eye(6)}, "array 'labels' has one-hot rows of 6 classes"),
        ({"image": pictures(), "labels": np.ones(6, complex)}, "arrays of complex128 are not supported"),
        ({"image": pictures(), "labels": np.eye(6, dtype=int)}, "array 'labels' has shape 6 x 6"),
        ({"image": pictures(), "labels": np.arange(6) - 1}, "array 'labels' has the class -1"),
        ({"image": np.float32(1)}, "array 'image' is a single value"),
    ],
)
def test_misfits_are_told(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    path = npz(tmp_path, **arrays)
    with pytest.raises(DataError, match=sentence) as caught:
        load_samples(path, IMAGE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_different_counts_are_told(tmp_path: Path) -> None:
    path = npz(tmp_path, ids=np.ones((4, 7), int), mask=np.ones((5, 7), int))
    with pytest.raises(DataError, match="different numbers of samples: 'ids' 4, 'mask' 5"):
        load_samples(path, TWO)


def test_a_fixed_batch_asks_for_an_axis_more(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.ones((8, 3), np.float32))
    with pytest.raises(DataError, match=r"takes 4 samples a run .* one axis more: n x 4 x 3"):
        load_samples(path, (Port("x", "float32", (4, 3)),))


def test_integers_out_of_range_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.full((3, 2), 2**40))
    with pytest.raises(DataError, match="outside its range"):
        load_samples(path, (Port("x", "int32", ("n", 2)),))


def test_values_too_large_for_the_type_are_refused(tmp_path: Path) -> None:
    samples = load_samples(npz(tmp_path, x=np.full((3, 2), 1e300)), (Port("x", "float32", ("n", 2)),))
    with pytest.raises(DataError, match="values too large for float32"):
        samples.feed(0)


def test_inputs_that_numpy_has_no_type_for(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.ones((3, 2), np.float32))
    with pytest.raises(DataError, match="wants bfloat16, which sample data cannot hold"):
        load_samples(path, (Port("x", "bfloat16", ("n", 2)),))


def test_text_labels_are_kept(tmp_path: Path) -> None:
    samples = load_samples(npz(tmp_path, image=pictures(2), labels=np.array(["so", "be it"])), IMAGE)
    assert samples.labels is not None and samples.class_labels is None
    assert samples.describe().endswith("text labels")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="Python objects, which are never loaded"):
        load_samples(path, IMAGE)


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = npz(tmp_path, image=np.zeros((1000, 1, 40, 40), np.float32))
    with pytest.raises(DataError, match=r"its arrays unpack to 0\.0 GB, more than 0\.0 GB"):
        ArrayFile(path, largest=1_000_000).read(("image",))


def test_a_header_that_declares_more_than_there_is(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1, 4, 4), }"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "data.npz", "w", method) as archive:
            archive.writestr("image.npy", body)
        with pytest.raises(DataError, match="its size is not what its header declares"):
            load_samples(tmp_path / "data.npz", IMAGE)
    (tmp_path / "data.npy").write_bytes(body)
    with pytest.raises(DataError, match="the file ends before the array does"):
        load_samples(tmp_path / "data.npy", IMAGE)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_files_never_crash(tmp_path: Path, save) -> None:
    """300 seeded mutations: each loads with the right shape or is a sentence."""
    save(tmp_path / "good.npz", image=pictures(), labels=np.arange(6))
    good = (tmp_path / "good.npz").read_bytes()
    random, path, refused = np.random.default_rng(7), tmp_path / "bad.npz", 0
    for _ in range(300):
        bad = bytearray(good[: random.integers(1, len(good))] if random.random() < 0.3 else good)
        for position in random.integers(0, len(bad), 3):
            bad[position] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        try:
            assert load_samples(path, IMAGE).feed(0)["image"].shape == (1, 1, 4, 4)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize(("name", "sentence"), [("no.npz", "no such file"), ("a.txt", "no kind of data")])
def test_other_files_are_told(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "a.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(DataError, match=sentence):
        load_samples(tmp_path / name, IMAGE)


@pytest.mark.models
@pytest.mark.parametrize("name", ["lenet300", "ppocr_rec", "silero_vad", "magika", "minilm"])
def test_public_models_data(models_dir: Path, name: str) -> None:
    from core.analysis.runtime import run, session
    from core.model.readers import open_model

    model = open_model(models_dir / name / "model.onnx")
    samples = load_samples(models_dir / name / "test.npz", model.inputs)
    outputs = run(session(model.path), samples.feed(samples.n - 1))
    assert len(outputs) == len(model.outputs)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
def test_a_pipe_is_refused_instead_of_waiting_for_ever(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="neither a file nor a folder"):
        load_samples(tmp_path / name, IMAGE)


@pytest.mark.parametrize("shape", ["(True, 1, 4, 4)", f"({'1,' * 70})"])
def test_odd_shapes_in_a_header(tmp_path: Path, shape: str) -> None:
    """numpy's own reader of headers lets both through."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    path = tmp_path / "data.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64))
    if "True" in shape:
        assert load_samples(path, IMAGE).n == 1
    else:
        with pytest.raises(DataError, match="declares 70 axes"):
            load_samples(path, IMAGE)
