"""Files that ship with the program: theme, icons, the sample model. Found through `importlib.resources`."""
