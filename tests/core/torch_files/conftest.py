"""Tiny PyTorch files, made here; conversions go into a folder of the test's own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch

DEFINITION = '''
import torch


class Small(torch.nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, width, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(width)
        self.drop = torch.nn.Dropout(0.5)
        self.fc = torch.nn.Linear(width * 16, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.fc(self.drop(x.flatten(1)))


def not_a_module():
    return 3
'''


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests: a conversion takes seconds, so most tests share one."""
    return tmp_path_factory.mktemp("torch_files")


@pytest.fixture(autouse=True)
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    return place / "cache"


@pytest.fixture(scope="package")
def definition(place: Path) -> Path:
    path = place / "small_net.py"
    path.write_text(textwrap.dedent(DEFINITION))
    return path


@pytest.fixture
def module(definition: Path) -> torch.nn.Module:
    """The network of the definition with statistics that make training and evaluation differ."""
    names: dict = {}
    exec(compile(definition.read_text(), str(definition), "exec"), names)
    torch.manual_seed(0)
    made = names["Small"]()
    made.norm.running_mean += 0.3
    made.norm.running_var *= 2
    return made


@pytest.fixture
def state_path(module: torch.nn.Module, place: Path) -> Path:
    path = place / "state.pt"
    if not path.exists():
        torch.save(module.state_dict(), path)
    return path
