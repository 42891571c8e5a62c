"""Encodings as torch modules: what is trained is what is stored. One file per kind; `learn` finds the one that fits."""

from core.training.learned.base import LearnedWeight
from core.training.learned.finding import learn

__all__ = ["LearnedWeight", "learn"]
