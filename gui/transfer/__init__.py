"""The guided dialog that gives a trained model a new head and trains it on other data."""
