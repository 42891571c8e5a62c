"""Featherweight's engine: reads, compresses, compares and writes models. Never imports Qt."""

__version__ = "0.1.0"
