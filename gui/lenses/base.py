"""What a lens is: one view of the model, in a tab. A new lens is one new file in this folder and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from PySide6.QtWidgets import QWidget

import gui.lenses

if TYPE_CHECKING:
    from gui.session import Session


class Lens(QWidget):
    """One view of the model.

    key     unique word, for settings ("weights")
    title   of its tab
    order   tabs are sorted by it
    """

    key: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int]

    def set_session(self, session: Session) -> None:
        """Called once, right after it is built: show the session and follow its signals."""
        raise NotImplementedError


@cache
def all_lenses() -> tuple[type[Lens], ...]:
    """The lenses of this folder in the order of their tabs. A duplicate or a missing attribute is an error."""
    found: dict[str, type[Lens]] = {}
    for info in pkgutil.iter_modules(gui.lenses.__path__):
        module = importlib.import_module(f"gui.lenses.{info.name}")
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, Lens) and thing.__module__ == module.__name__:
                register(found, thing)
    return tuple(sorted(found.values(), key=lambda lens: (lens.order, lens.title)))


def register(found: dict[str, type[Lens]], lens: type[Lens]) -> None:
    """Add a lens; RuntimeError when it lacks an attribute or its key is taken."""
    if lens is Lens:
        return
    missing = [name for name in ("key", "title", "order") if not hasattr(lens, name)]
    if missing:
        raise RuntimeError(f"lens {lens.__name__} lacks {', '.join(missing)}")
    if not re.fullmatch(r"[a-z][a-z_]*", lens.key):
        raise RuntimeError(f"lens {lens.__name__}: {lens.key!r} is no key (lower case letters and _)")
    if lens.key in found:
        raise RuntimeError(f"lenses {found[lens.key].__name__} and {lens.__name__} both have the key {lens.key!r}")
    found[lens.key] = lens
