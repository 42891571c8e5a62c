"""One thread for linear algebra, and the old number back, also after an error and with blocks that overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from core import blas


@pytest.fixture
def threads() -> Iterator[Callable[[], int]]:
    """Tells the number of threads, which is 3 before the test and put back after it."""
    found = blas._openblas()
    if found is None:
        pytest.skip("numpy comes without OpenBLAS")
    get, put = found
    before = get()
    put(3)
    yield get
    put(before)


def test_one_thread_within_the_block(threads: Callable[[], int]) -> None:
    assert threads() == 3
    with blas.one_thread():
        assert threads() == 1
        with blas.one_thread():
            assert threads() == 1
        assert threads() == 1
    assert threads() == 3


def test_blocks_that_overlap_and_fail(threads: Callable[[], int]) -> None:
    first, second = blas.one_thread(), blas.one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == 1
    second.__exit__(None, None, None)
    assert threads() == 3
    with pytest.raises(ValueError, match="inside"), blas.one_thread():
        raise ValueError("inside")
    assert threads() == 3


def test_without_openblas_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_openblas", lambda: None)
    with blas.one_thread():
        pass
