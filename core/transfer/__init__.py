"""Transfer: a trained model's trunk with a new head, for other data and other classes.

`cuts` and `spec` import neither torch nor onnxruntime at the top; the other modules are imported inside the function
that needs them.
"""
