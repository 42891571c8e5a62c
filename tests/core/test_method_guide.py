"""The guide: complete, and the file in docs is what the methods say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.method_guide import FAMILIES, by_family, guide, not_saved
from core.methods.base import Described
from core.methods.params import specs
from core.methods.registry import all_methods

DOCUMENT = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_document_is_what_the_methods_say() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == guide(), "run featherweight-cli methods --markdown > docs/methods.md"


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.key)
def test_every_method_is_there_with_its_parameters(method: Described) -> None:
    text = guide()
    section = text.split(f"### {method.title}\n")[1].split("\n### ")[0]
    for words in (method.summary, method.source, method.costs, method.data):
        assert words in section
    for spec in specs(method.Params):
        assert f"`{spec.name}`" in section
    assert method.choose_when in text and method.avoid_when in text


def test_what_is_not_saved_is_the_rest() -> None:
    for method in all_methods():
        assert set(method.saves) | set(not_saved(method)) == {"file", "memory", "time", "multiply-adds"}
        assert not set(method.saves) & set(not_saved(method))


def test_every_family_is_known() -> None:
    assert {family for family, _ in by_family()} <= set(FAMILIES)
