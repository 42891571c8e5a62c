"""Filter words: meaning, combination, and clear messages for wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from gui.layers.filter import FilterError, matches, parse

TEXTS = {"name": ["stem.conv", "block.dw", "head.fc"], "kind": ["conv", "depthwise", "linear"],
         "op": ["conv", "conv", "gemm"], "plan": ["int8", "keep", "prune 60 % · int4"]}
NUMBERS = {"size": np.array([900.0, 120e3, 3e6]), "weights": np.array([225.0, 30e3, 750e3]),
           "zeros": np.array([0.0, 12.5, np.nan]), "outliers": np.array([0.0, 1.0, 2.0]),
           "error": np.array([40.0, np.nan, 14.0])}


def found(text: str) -> list[int]:
    return list(np.flatnonzero(matches(parse(text), TEXTS, NUMBERS, 3)))


@pytest.mark.parametrize(("text", "rows"), [
    ("", [0, 1, 2]),
    ("conv", [0]),
    ("STEM", [0]),
    ("kind:conv", [0]),
    ("kind:conv,linear", [0, 2]),
    ("-kind:conv", [1, 2]),
    ("op:gemm", [2]),
    ("plan:int", [0, 2]),
    ("size>100k", [1, 2]),
    ("size>=3M", [2]),
    ("size<1kB", [0]),
    ("weights=225", [0]),
    ("zeros>10%", [1]),
    ("zeros<50", [0, 1]),
    ("error<30", [2]),
    ("size>1k head", [2]),
    ("layer/w:0", []),
])
def test_words(text: str, rows: list[int]) -> None:
    assert found(text) == rows


@pytest.mark.parametrize(("text", "says"), [
    ("colour:red", "no filter word 'colour'"),
    ("speed>3", "no filter word 'speed'"),
    ("size:100", "write size>10"),
    ("size>big", "a number must follow"),
    ("kind>3", "write kind:text"),
    ("kind:", "nothing follows"),
])
def test_wrong_words_are_named_with_what_to_do(text: str, says: str) -> None:
    with pytest.raises(FilterError, match=says) as caught:
        parse(f"fine {text}")
    assert text.split(">")[0].split(":")[0] in str(caught.value)
