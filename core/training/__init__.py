"""Recovering accuracy by training: a compressed model as a torch module whose stored values are what is trained.

`settings` and `events` import no torch and may be imported anywhere; every other module here is imported inside the
function that needs it, never at start-up.
"""
