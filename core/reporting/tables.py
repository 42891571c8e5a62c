"""Tables of plain texts as markup."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from core.reporting.markup import escaped


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = (), *, caption: str = ""
) -> str:
    """A table; "" without rows.

    head, rows  plain texts
    numbers     columns that are set right-aligned, in figures of one width
    caption     what is in it, for readers of the screen and of the page
    """
    lines = [_row(row, "td", numbers) for row in rows]
    if not lines:
        return ""
    said = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{said}<thead>{_row(head, "th", numbers)}</thead><tbody>'
        + "".join(lines)
        + "</tbody></table></div>\n"
    )


def _row(cells: Sequence[str], tag: str, numbers: Collection[int]) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    kinds = (' class="n"' if i in numbers else "" for i in range(len(cells)))
    return (
        "<tr>"
        + "".join(f"<{tag}{scope}{kind}>{escaped(text)}</{tag}>" for text, kind in zip(cells, kinds, strict=True))
        + "</tr>"
    )
