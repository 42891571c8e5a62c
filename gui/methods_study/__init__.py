"""The comparison of methods in the window: its state, table, chart and words."""
