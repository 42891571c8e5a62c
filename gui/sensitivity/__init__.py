"""The window's part of sensitivity: what is known so far, measuring it, and the parts of the lens."""
