"""Thin, quiet charts on pyqtgraph: no menus, no tool bars, no accidental zoom; colours by role; a read-out on hover."""
