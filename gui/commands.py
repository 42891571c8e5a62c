"""The one undo command: the recipe before, the recipe after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QUndoCommand

if TYPE_CHECKING:
    from core.recipe import Recipe
    from gui.session import Session

_MERGE_ID = 1


class SetRecipe(QUndoCommand):
    """Replaces the session's recipe.

    names      layers whose steps differ
    text       what was done, for the Edit menu ("change steps of conv1.weight")
    merge_key  commands in a row with the same non-empty key become one: a slider's drag is one edit
    """

    def __init__(self, session: Session, before: Recipe, after: Recipe, names: tuple[str, ...], text: str,
                 merge_key: str = "") -> None:
        super().__init__(text)
        self._session = session
        self.before, self.after, self.names, self.merge_key = before, after, names, merge_key

    def id(self) -> int:
        return _MERGE_ID if self.merge_key else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, SetRecipe) or other.merge_key != self.merge_key:
            return False
        self.after = other.after
        self.names = tuple(dict.fromkeys(self.names + other.names))
        self.setObsolete(self.after == self.before)
        return True

    def redo(self) -> None:
        self._session.put_recipe(self.after, self.names)

    def undo(self) -> None:
        self._session.put_recipe(self.before, self.names)
