"""Sparse initializers as ordinary nodes, because onnx_ir does not keep them.

Case 1  indices (count,)         -> Reshape(ScatterElements(ConstantOfShape([size]), indices, values), dims)
Case 2  indices (count, rank)    -> ScatterND(ConstantOfShape(dims), indices, values)

The value keeps its name, so the layer appears under it, as a weight that is already compressed.
Source: SparseTensorProto in onnx.proto.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.errors import ModelFileError

if TYPE_CHECKING:
    import onnx


def expand_sparse(graph: onnx.GraphProto, where: str) -> None:
    """Rewrite the sparse initializers of one graph in place. Raises ModelFileError for one that makes no sense."""
    if not graph.sparse_initializer:
        return
    made: list[onnx.NodeProto] = []
    for number, sparse in enumerate(graph.sparse_initializer):
        made += _expanded(graph, sparse, number, where)
    del graph.sparse_initializer[:]
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _expanded(graph: onnx.GraphProto, sparse: onnx.SparseTensorProto, number: int, where: str) -> list[onnx.NodeProto]:
    from onnx import TensorProto, helper

    name, dims = sparse.values.name, list(sparse.dims)
    count = sparse.values.dims[0] if len(sparse.values.dims) == 1 else -1
    flat = list(sparse.indices.dims) == [count]
    fits = flat or list(sparse.indices.dims) == [count, len(dims)]
    if not name or not fits or sparse.indices.data_type != TensorProto.INT64 or not all(0 < d < 2**31 for d in dims):
        raise ModelFileError(f"the sparse tensor {name!r} is damaged", where=where, do="export the model again")
    prefix = f"{name}:sparse{number}"
    values, indices = graph.initializer.add(), graph.initializer.add()
    values.CopyFrom(sparse.values)
    indices.CopyFrom(sparse.indices)
    values.name, indices.name = f"{prefix}:values", f"{prefix}:indices"
    shape = [math.prod(dims)] if flat else dims
    graph.initializer.append(helper.make_tensor(f"{prefix}:shape", TensorProto.INT64, [len(shape)], shape))
    zero = helper.make_tensor("zero", values.data_type, [1], [0])
    dense = helper.make_node("ConstantOfShape", [f"{prefix}:shape"], [f"{prefix}:zeros"], value=zero)
    scatter_inputs = [f"{prefix}:zeros", indices.name, values.name]
    if not flat:
        return [dense, helper.make_node("ScatterND", scatter_inputs, [name])]
    graph.initializer.append(helper.make_tensor(f"{prefix}:dims", TensorProto.INT64, [len(dims)], dims))
    return [dense, helper.make_node("ScatterElements", scatter_inputs, [f"{prefix}:flat"], axis=0),
            helper.make_node("Reshape", [f"{prefix}:flat", f"{prefix}:dims"], [name])]
