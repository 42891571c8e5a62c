"""Opening PyTorch files: what the file is, what it does not say itself, and the consent to run a definition."""
