"""The public models' fixtures, shared with tests/models."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("models_conftest", Path(__file__).parents[1] / "models" / "conftest.py")
if _spec is None or _spec.loader is None:
    raise ImportError("tests/models/conftest.py cannot be loaded")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
name, folder, model, calib, metric = (getattr(_module, key) for key in ("name", "folder", "model", "calib", "metric"))
