"""A sample's input: as a picture where it is one."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from core.encoding.base import Array
from gui.theme import theme

_PIXELATED_BELOW = 96


class Picture(QWidget):
    """An image scaled to fit, its proportions kept; small ones stay crisp."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme().changed.connect(self.update)

    def set_pixels(self, pixels: Array | None) -> None:
        """Show uint8 pixels of shape (h, w) or (h, w, 3), or nothing."""
        self._image = None
        if pixels is not None:
            data = np.ascontiguousarray(pixels)
            height, width = data.shape[:2]
            gray = data.ndim == 2
            form = QImage.Format.Format_Grayscale8 if gray else QImage.Format.Format_RGB888
            self._image = QImage(data.data, width, height, width * (1 if gray else 3), form).copy()
        self.update()

    def image(self) -> QImage | None:
        """What is shown."""
        return self._image

    def sizeHint(self) -> QSize:
        return QSize(200, 100)

    def minimumSizeHint(self) -> QSize:
        return QSize(80, 48)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._image is None or self._image.isNull():
            return
        painter = QPainter(self)
        size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        target = QRect((self.width() - size.width()) // 2, (self.height() - size.height()) // 2, *size.toTuple())
        smooth = max(self._image.width(), self._image.height()) > _PIXELATED_BELOW
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        painter.drawImage(target, self._image)
        painter.setPen(theme().color("border"))
        painter.drawRect(target.adjusted(0, 0, -1, -1))
        painter.end()
