"""The ONNX graph as a torch module, for gradients that ONNX Runtime does not give.

Every module here imports torch: import from this package inside the function that needs it, never at start-up.
`module.TorchGraph` runs a graph; operators are functions in tables, `operators_*.py` by theme, after the ONNX operator
specification (opset 11 to 24, https://onnx.ai/onnx/operators/).
"""
