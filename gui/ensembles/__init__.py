"""Merging models in the window."""
