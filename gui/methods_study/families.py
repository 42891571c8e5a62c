"""One colour and one shape for each family of methods, so that it is known without its colour as well."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPolygonF

_LOOKS = (("series_1", "o"), ("series_2", "t1"), ("series_3", "s"), ("series_4", "d"), ("bad", "t"), ("muted", "+"))
_ORDER = ("Quantization", "Pruning", "Low rank", "Filtering", "Structured cuts", "Activations")
_HALF = 4.2


def look(family: str) -> tuple[str, str]:
    """(role of the colour, pyqtgraph's symbol) of a family; those that came later share looks by their name."""
    if family in _ORDER:
        return _LOOKS[_ORDER.index(family)]
    return ("text", "star") if not family else _LOOKS[sum(family.encode()) % len(_LOOKS)]


def in_order(families: Iterable[str]) -> list[str]:
    """Families as legends list them."""
    there = {family for family in families if family}
    return [name for name in _ORDER if name in there] + sorted(there - set(_ORDER))


def draw(painter: QPainter, symbol: str, centre: QPointF, color: QColor, *, filled: bool = True) -> None:
    """The symbol of a family, as the chart has it."""
    path, h = QPainterPath(), _HALF
    if symbol == "o":
        path.addEllipse(centre, h, h)
    elif symbol == "s":
        path.addRect(QRectF(centre.x() - h + 0.5, centre.y() - h + 0.5, 2 * h - 1, 2 * h - 1))
    else:
        corners = {
            "t": ((-h, -h), (h, -h), (0, h)), "t1": ((-h, h), (h, h), (0, -h)), "d": ((0, -h), (h, 0), (0, h), (-h, 0)),
            "+": ((-1.2, -h), (1.2, -h), (1.2, -1.2), (h, -1.2), (h, 1.2), (1.2, 1.2), (1.2, h), (-1.2, h), (-1.2, 1.2),
                  (-h, 1.2), (-h, -1.2), (-1.2, -1.2)),
        }  # fmt: skip
        points = corners.get(symbol, corners["d"])
        path.addPolygon(QPolygonF([QPointF(centre.x() + x, centre.y() + y) for x, y in points]))
        path.closeSubpath()
    painter.setPen(color)
    painter.setBrush(color if filled else Qt.BrushStyle.NoBrush)
    painter.drawPath(path)
