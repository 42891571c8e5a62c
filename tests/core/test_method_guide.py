"""The guide: complete, and the file in docs is what the methods say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.method_guide import FAMILIES, by_family, continued, guide, not_saved, samples_text
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
    for words in (method.summary, method.source, method.costs, samples_text(method)):
        assert words in section
    for spec in specs(method.Params):
        assert f"`{spec.name}`" in section
    assert continued(method.choose_when) in text and continued(method.avoid_when) in text


def test_what_is_not_saved_is_the_rest() -> None:
    for method in all_methods():
        assert set(method.saves) | set(not_saved(method)) == {"file", "memory", "time", "multiply-adds"}
        assert not set(method.saves) & set(not_saved(method))


def test_every_family_is_known() -> None:
    assert {family for family, _ in by_family()} <= set(FAMILIES)


def test_texts_continue_their_headings_and_say_samples_once() -> None:
    assert continued("The file must shrink.") == "the file must shrink"
    assert continued("HardSwish is there.") == "HardSwish is there"
    for method in all_methods():
        assert "samples" not in samples_text(method)
    assert "does not save nothing" not in guide()


def test_people_read_titles_and_not_words_of_recipes() -> None:
    recipe_words = re.compile(r"\b(nf|mulaw|pow2|range activation|rounding feedback)\b")
    for method in all_methods():
        said = " ".join((method.choose_when, method.avoid_when, method.costs, method.data))
        assert not recipe_words.search(said), method.key
