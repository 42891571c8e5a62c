"""Every method at several levels on one model and its data, side by side, and what that recommends."""
