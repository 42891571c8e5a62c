"""Runs of this and other models: the tree, the chart, two of them side by side, and cross-validation."""
