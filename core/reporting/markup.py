"""Text as markup: what is shown may hold anything (names of layers come from strangers' files)."""

from __future__ import annotations

import re
from html import escape

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What neither HTML nor XML can hold, and halves of surrogate pairs, which cannot be written as UTF-8."""


def escaped(text: str) -> str:
    """The text for an element's content or a quoted attribute; characters that no page can hold become U+FFFD."""
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text), quote=True)


def paragraph(text: str, kind: str = "") -> str:
    """One paragraph of plain text. kind: "", "note" (less weight) or "warning"."""
    return f'<p class="{escaped(kind)}">{escaped(text)}</p>' if kind else f"<p>{escaped(text)}</p>"


def bullets(texts: list[str] | tuple[str, ...]) -> str:
    """A list of plain texts; "" when there is none."""
    return "<ul>" + "".join(f"<li>{escaped(text)}</li>" for text in texts) + "</ul>" if texts else ""


def code(text: str) -> str:
    """Text to copy, as it is."""
    return f"<pre>{escaped(text)}</pre>"


def shortened(text: str, length: int) -> str:
    """The text with its middle left out when it is longer than `length`: names of layers differ at both ends."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (length - 1 - head) :]}"
