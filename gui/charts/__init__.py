"""Thin, quiet charts on pyqtgraph: no menus, no tool bars, no zooming by accident; colours by role; a read-out on hover."""
