"""The main job on the sample model, done by the program itself in the real window."""
