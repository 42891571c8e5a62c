"""The kernels' house rules: free to import, cached outside the package, safe from several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest

from core.analysis.statistics import statistics
from core.kernels import CHUNK, flat_float32, map_chunks
from core.kernels.compare import squares

ROOT = Path(__file__).resolve().parents[3]


def run(code: str, **environment: str | None) -> str:
    """What a fresh interpreter prints."""
    env = {key: value for key, value in {**os.environ, **environment}.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_imports_no_numba() -> None:
    assert run("import core.kernels, sys; print('numba' in sys.modules)") == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
def test_compiled_code_goes_to_the_users_cache(tmp_path: Path) -> None:
    run("import core.kernels.compare", NUMBA_CACHE_DIR=None, XDG_CACHE_HOME=str(tmp_path))
    assert list((tmp_path / "featherweight" / f"kernels-{numba.__version__}").rglob("*.nbi"))


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
def test_without_a_usable_cache_folder_kernels_still_work(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")  # a file where the folder should be
    code = (
        "import os, numpy as np; from core.kernels.compare import squares;"
        "print(squares(np.ones(3), np.zeros(3)), os.environ['NUMBA_CACHE_DIR'])"
    )
    answer = run(code, NUMBA_CACHE_DIR=None, XDG_CACHE_HOME=str(blocked), TMPDIR=str(tmp_path))
    assert answer.startswith(f"(3.0, 3.0) {tmp_path}/featherweight-kernels-")
    assert list(tmp_path.iterdir()) == [blocked]  # the private folder is gone


def test_a_users_own_cache_folder_is_kept(tmp_path: Path) -> None:
    code = "import core.kernels, os; print(os.environ['NUMBA_CACHE_DIR'])"
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)) == str(tmp_path)


def test_chunks_cover_the_array_in_order() -> None:
    values = np.arange(2 * CHUNK + 5, dtype=np.float32)
    found = map_chunks(lambda part: (float(part[0]), part.size), values)
    assert found == [(0.0, CHUNK), (float(CHUNK), CHUNK), (float(2 * CHUNK), 5)]


def test_kernels_run_in_several_threads_at_once() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(50_000).astype(np.float32) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda a: statistics(a, parallel=False), arrays))
    for array, one in zip(arrays, found, strict=True):
        assert one.maximum == array.max()
        assert one.histogram.total == array.size


def test_a_transposed_view_is_not_copied() -> None:
    values = np.zeros((3, 4), np.float32)
    assert np.shares_memory(flat_float32(values.T), values)


@pytest.mark.parametrize("n", [0, 1, 1000, CHUNK + 3])
def test_squares_against_numpy(n: int) -> None:
    rng = np.random.default_rng(1)
    first = rng.standard_normal(n, dtype=np.float32)
    second = first + rng.standard_normal(n, dtype=np.float32) * np.float32(0.1)
    signal, noise = squares(first, second)
    wide, other = first.astype(np.float64), second.astype(np.float64)
    assert signal == pytest.approx(float(wide @ wide), rel=1e-12)
    assert noise == pytest.approx(float((wide - other) @ (wide - other)), rel=1e-12)


def test_squares_pair_elements_by_index_not_by_memory() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert squares(values, np.asfortranarray(values))[1] == 0.0
    with pytest.raises(ValueError, match="shape"):
        squares(values, values.T)
