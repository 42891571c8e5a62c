"""Pages and charts: well-formed, self-contained, hostile texts escaped, values where their axis says."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from core.reporting.heat import heat_map
from core.reporting.markup import escaped, shortened
from core.reporting.page import Section, page
from core.reporting.svg import Series, bars, histogram, intervals, parts_bar, xy_chart
from core.reporting.tables import table
from core.reporting.ticks import Axis, number_text

HOSTILE = "</td><script>alert(1)</script>&\"'\x00\x1b\ud800]]>--><img src=http://a/b>"


def charts(name: str) -> list[str]:
    """One of each kind, with `name` in all places that take a text."""
    axis = Axis(name, zero=True)
    return [
        xy_chart(name, name, axis, axis, [Series(name, [(0, 1), (1, math.inf)], "line dots", 1, [name], [name])]),
        bars(name, name, axis, [name, "b"], [(name, [1.0, None]), ("x", [math.nan, 2.0])]),
        histogram(name, name, axis, [(name, [1.0, 2.0, math.nan]), ("b", [2.0])]),
        intervals(name, name, axis, [(name, 1.0, 2.0, 3.0), ("b", 1.0, 1.0, 1.0)]),
        parts_bar(name, name, [(name, [(name, 3.0, name), ("b", 1.0, "1")])]),
        heat_map(name, name, [name], [name, "b"], [[1.0, None]], [[name, "-"]]),
    ]


@pytest.mark.parametrize("name", ["layer1.weight", HOSTILE, "日本語 \N{GRINNING FACE}", ""])
def test_pages_are_well_formed_and_need_nothing_else(name: str) -> None:
    found = charts(name)
    assert all(found)
    text = page(name, [Section(name, "".join(found) + table([name], [[name]], caption=name))], lead=name, foot=name)
    text.encode("utf-8")
    tree = ElementTree.fromstring(text)
    assert len([e for e in tree.iter("svg") if e.get("role") == "img"]) == len(found)
    assert all(e.find("desc") is not None for e in tree.iter("svg") if e.get("role") == "img")
    assert not list(tree.iter("script")) and not list(tree.iter("img")) and not list(tree.iter("link"))
    assert not [e for e in tree.iter() if any(key in ("src", "href") or key.startswith("on") for key in e.attrib)]
    assert "url(" not in text and "@import" not in text
    title = tree.find("head/title")
    shown = re.sub("[\x00\x1b\ud800]", "\N{REPLACEMENT CHARACTER}", name)
    assert title is not None and (title.text or "") == shown


def test_a_chart_without_values_is_left_out() -> None:
    axis = Axis("x")
    assert xy_chart("t", "d", axis, axis, [Series("a", [])]) == ""
    assert bars("t", "d", axis, ["a"], [("s", [None])]) == ""
    assert histogram("t", "d", axis, [("s", [math.nan])]) == ""
    assert heat_map("t", "d", ["a"], ["b"], [[None]], [["-"]]) == ""
    assert table(["a"], []) == "" and "<h2>" not in page("t", [Section("empty", "")])


def test_values_lie_where_the_axis_says() -> None:
    scale = Axis("bytes", log=True).scale([10, 1_000])
    places = [scale.share(v) for v in (10, 100, 1_000)]
    assert places[0] is not None and places[1] == pytest.approx(0.5) and places[2] == pytest.approx(1 - places[0])
    assert scale.share(0) is None and scale.share(math.inf) is None
    assert [text for _share, text in scale.ticks()] == ["10", "20", "50", "100", "200", "500", "1,000"]
    linear = Axis("ms", zero=True).scale([3.0, 9.7])
    assert linear.share(0.0) == 0.0
    assert [text for _share, text in linear.ticks()] == ["0", "2", "4", "6", "8"]


@pytest.mark.parametrize("values", [[5.0], [0.0], [-1e-9, 1e-9], [1e300, -1e300], [math.nan], []])
def test_odd_ranges_have_ticks(values: list[float]) -> None:
    for axis in (Axis("x"), Axis("x", log=True), Axis("x", zero=True)):
        ticks = axis.scale(values).ticks()
        assert 1 <= len(ticks) <= 12 and all(-1e-6 <= share <= 1 + 1e-6 for share, _text in ticks)


def test_texts() -> None:
    assert number_text(1500) == "1,500" and number_text(0.25) == "0.25" and number_text(2e-5) == "2e-05"
    assert shortened("abcdefghij", 5) == "ab\N{HORIZONTAL ELLIPSIS}ij" and shortened("ab", 5) == "ab"
    assert escaped("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#x27;"
