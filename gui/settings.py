"""What the program remembers of a person between starts: recent files, theme, window, where exports went."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from PySide6.QtCore import QByteArray, QObject, QSettings, QStandardPaths, Signal

from gui.theme import Mode

MOST_RECENT = 10
_MODES = ("light", "dark", "system")


def user_folder() -> Path:
    """Where this person's settings and autosaved sessions are kept."""
    return Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppLocalDataLocation))


class Settings(QObject):
    """Typed access to one settings file; everything has a default and a damaged value counts as not there.

    recentChanged   the list of recent models changed
    """

    recentChanged = Signal()

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        """folder: holds settings.ini and the autosaved sessions; made when something is written."""
        super().__init__(parent)
        self.folder = folder
        self._store = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)

    @property
    def mode(self) -> Mode:
        value = self._store.value("window/mode", "system")
        return cast(Mode, value) if value in _MODES else "system"

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._store.setValue("window/mode", mode)

    @property
    def recent(self) -> tuple[Path, ...]:
        """Models opened lately, the last one first; those that are gone are left out."""
        return tuple(path for path in self._paths("files/recent") if path.exists())

    def remember_model(self, path: Path) -> None:
        self._remember("files/recent", path.absolute())
        self.recentChanged.emit()

    def forget_recent(self) -> None:
        self._store.remove("files/recent")
        self.recentChanged.emit()

    @property
    def export_folders(self) -> tuple[Path, ...]:
        """Folders that were exported to; a killed export may have left an unfinished file there."""
        return self._paths("files/exports")

    def remember_export(self, folder: Path) -> None:
        self._remember("files/exports", folder.absolute())

    def last_folder(self, kind: str) -> str:
        """The folder that a dialog of this kind ("model", "data", "recipe", "export") showed last, or ""."""
        value = self._store.value(f"folders/{kind}", "")
        return value if isinstance(value, str) and Path(value).is_dir() else ""

    def set_last_folder(self, kind: str, folder: Path) -> None:
        self._store.setValue(f"folders/{kind}", str(folder))

    def layout(self, name: str) -> QByteArray | None:
        """The saved geometry or splitter state of this name."""
        value = self._store.value(f"window/{name}")
        return value if isinstance(value, QByteArray) else None

    def set_layout(self, name: str, value: QByteArray) -> None:
        self._store.setValue(f"window/{name}", value)

    @property
    def lens(self) -> str:
        """Key of the lens shown last, or ""."""
        value = self._store.value("window/lens", "")
        return value if isinstance(value, str) else ""

    @lens.setter
    def lens(self, key: str) -> None:
        self._store.setValue("window/lens", key)

    def save(self) -> None:
        """Write now (QSettings also writes by itself from time to time)."""
        self._store.sync()

    def _paths(self, key: str) -> tuple[Path, ...]:
        value = self._store.value(key, [])
        if isinstance(value, str):  # a list of one comes back as the one
            value = [value]
        items = value if isinstance(value, list) else []
        return tuple(Path(item) for item in items if isinstance(item, str) and item)

    def _remember(self, key: str, path: Path) -> None:
        others = [str(p) for p in self._paths(key) if p != path]
        self._store.setValue(key, [str(path), *others][:MOST_RECENT])
