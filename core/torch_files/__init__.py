"""PyTorch files: what they are, how they become ONNX graphs, and how weights go back into them.

`recognise`, `source`, `origin` and `kept` need no torch. `child` runs in a process of its own, with everything that it
imports: `definition`, `exported`, `script`, `weights`, `to_onnx`, `tidy`, `agreement`.
"""
