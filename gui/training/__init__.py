"""Training in the window: what runs, its curves, its settings and what came of it."""
