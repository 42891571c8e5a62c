"""The session's recipe as a file: saved in the background, opened as an undoable edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FeatherweightError
from gui.loading import write_recipe

if TYPE_CHECKING:
    from core.recipe import Recipe
    from gui.session import Session

SAVE = "save"
"""Key of the task that saves."""


class RecipeFile:
    """Saves and opens recipes on behalf of the session. `path` is where it was opened from or saved to last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.path: Path | None = None

    def save(self, path: Path) -> None:
        """Write the recipe as YAML; it is the clean state from then on."""
        session, recipe, model = self._session, self._session.recipe, self._session.model
        if recipe is None or model is None:
            return

        def saved(_nothing: None) -> None:
            self.path = path
            if session.recipe is recipe:  # else it was edited meanwhile
                session.undo_stack.setClean()
            session.said.emit(f"Saved the recipe as {path.name}.")
            session.stateChanged.emit()

        session.tasks.thread(SAVE, write_recipe, path, recipe, model, title=f"Saving {path.name}", done=saved)

    def open(self, path: Path) -> None:
        """Replace the steps by those of a file. A recipe that does not fit changes nothing."""
        from core.recipe import Recipe

        session = self._session
        if session.model is None:
            session.failed.emit(
                FeatherweightError("a recipe needs a model", where=str(path), do="open its model first"))
            return
        try:
            self._take(Recipe.load(path), f"open {path.name}")
        except FeatherweightError as error:
            session.failed.emit(error)
            return
        self.path = path
        session.undo_stack.setClean()

    def restore(self, text: str) -> None:
        """Take a recipe that was kept as text."""
        from core.recipe import Recipe

        try:
            self._take(Recipe.parse(text), "restore the plan")
        except FeatherweightError as error:
            self._session.failed.emit(error)
        else:
            self._session.restored.emit()

    def _take(self, recipe: Recipe, text: str) -> None:
        session, model, now = self._session, self._session.model, self._session.recipe
        if model is None or now is None:
            return
        recipe.check(model)
        names = (layer.name for layer in model.layers)
        differing = tuple(n for n in names if recipe.steps_for(n) != now.steps_for(n))
        session.set_recipe(recipe, differing, text=text)
