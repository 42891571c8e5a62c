"""The recipes and commands that docs/training.md gives can be read by the program."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from core.commands.finetune import COMMAND
from core.commands.training_arguments import training_settings
from core.recipe import Recipe

DOCS = Path(__file__).parents[3] / "docs"
RECIPES = sorted((DOCS / "recipes").glob("*.yaml"))
TEXT = (DOCS / "training.md").read_text(encoding="utf-8").replace("\\\n", " ")
COMMANDS = re.findall(r"^featherweight-cli (finetune .*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_read_and_documented(path: Path) -> None:
    recipe = Recipe.parse(path.read_text(encoding="utf-8"))
    assert recipe.defaults or recipe.layers
    assert f"recipes/{path.name}" in TEXT


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_read(command: str) -> None:
    parser = argparse.ArgumentParser()
    COMMAND.arguments(parser)
    given = parser.parse_args([argument for argument in shlex.split(command)[1:] if argument != "--help"])
    assert training_settings(given).epochs >= 1
    if given.recipe is not None and given.recipe.startswith("recipes/"):
        assert DOCS / given.recipe in RECIPES


def test_commands_are_given() -> None:
    assert len(COMMANDS) >= len(RECIPES) - 1
