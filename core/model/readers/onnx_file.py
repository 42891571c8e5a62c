"""Reading .onnx files, with or without external data."""

from __future__ import annotations

import codecs
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import FeatherweightError, ModelFileError
from core.model.layer import Port
from core.model.layers import find_layers, read_weight
from core.model.model import Model
from core.progress import Reporter

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from core.model.finder import Found
    from core.model.storage import Storage

SUFFIXES = (".onnx",)

OLDEST_OPSET = 7

_RENAME = "if it is PyTorch's, give its name the ending .pt, .pth or .pt2"
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive (PyTorch files are such)", _RENAME),
    *((b"\x80" + bytes([version]), "a Python pickle", _RENAME) for version in (2, 3, 4, 5)),
    (b"\x89HDF", "an HDF5 file", "export the model to ONNX"),
    (b"GGUF", "a GGUF file", "export the model to ONNX"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"\x93NUMPY", "a numpy array", "choose the model, and open this as data"),
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "fetch the file with git lfs pull"),
)


def read(path: Path, reporter: Reporter) -> Model:
    """Open an ONNX file; see `open_model`."""
    from core.model.storage import Storage
    from core.model.wire import skeleton

    storage = Storage(path)
    _refuse_other_formats(path, storage.data[:64])
    reporter.report(0.1, "Reading the structure")
    try:
        loader = _Loader(skeleton(storage.data, reporter), storage)
        graph = loader.load()
        reporter.report(0.6, "Finding the layers")
        found = find_layers(graph)
    except FeatherweightError as error:
        error.where = error.where or path.name
        raise
    reporter.report(1.0)
    return _model(path, storage, loader, graph, found)


def _model(path: Path, storage: Storage, loader: _Loader, graph: ir.Model, found: Found) -> Model:
    from core.torch_files.origin import notes_of, origin_of

    origin = origin_of(path)
    where = path.name if origin is None else origin.path.name
    return Model(
        path=path, layers=found.layers, left_out=found.left_out,
        inputs=tuple(_port(value) for value in graph.graph.inputs if not value.is_initializer()),
        outputs=tuple(_port(value) for value in graph.graph.outputs),
        opset=graph.graph.opset_imports.get("", graph.graph.opset_imports.get("ai.onnx", 0)),
        ir_version=graph.ir_version,
        producer=" ".join(filter(None, (graph.producer_name, graph.producer_version))),
        metadata=dict(graph.metadata_props), file_bytes=storage.nbytes,
        data_files=(*storage.data_files, *(origin.files if origin is not None else ())), origin=origin,
        notes=(*notes_of(origin), *_notes(graph, found)),
        _read_weight=lambda name: read_weight(found, name, where), _make_graph=loader.load,
        _release=storage.release, _check=storage.check_unchanged)


@dataclass(frozen=True)
class _Loader:
    """Makes graphs from the skeleton of one file."""

    skeleton: bytes
    storage: Storage

    def load(self) -> ir.Model:
        """A new graph with mapped tensors, checked and in order. Raises ModelFileError."""
        import onnx_ir as ir
        from google.protobuf.message import DecodeError
        from onnx import ModelProto

        from core.model.graph import assign_keys, sort_and_check

        where = self.storage.path.name
        try:
            proto = ModelProto.FromString(self.skeleton)
        except DecodeError:
            raise ModelFileError("the file is damaged or is not an ONNX model", where=where,
                                 do="get the file again or choose an .onnx file") from None
        _check(proto, where)
        # What it warns of (values that nothing produces) is refused below, in one sentence and not on standard error.
        logging.getLogger("onnx_ir.serde").setLevel(logging.ERROR)
        try:
            model = ir.serde.deserialize_model(proto)
        except Exception as error:  # the library raises many kinds for damaged graphs
            raise ModelFileError(f"the graph is damaged ({_root_cause(error)})", where=where,
                                 do="export the model again") from error
        _map_tensors(model, self.storage)
        sort_and_check(model, where)
        assign_keys(model)
        return model


def _refuse_other_formats(path: Path, head: bytes) -> None:
    for magic, what, do in _OTHER_FORMATS:
        if head.startswith(magic):
            raise ModelFileError(f"this is {what}", where=path.name, do=do)
    if head[4:8] == b"TFL3":
        raise ModelFileError("this is a TensorFlow Lite model", where=path.name, do="export the model to ONNX")
    if head[8:9] == b"{" and path.suffix.lower() == ".safetensors":
        raise ModelFileError("this is a safetensors file", where=path.name, do="open it as one")
    if _is_text(head):
        raise ModelFileError("this is a text file, not an ONNX model", where=path.name, do="choose an .onnx file")


def _is_text(head: bytes) -> bool:
    """Whether the bytes are printable UTF-8 (the last character may be cut off)."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n" for character in text)


def _check(proto: onnx.ModelProto, where: str) -> None:
    """Raise ModelFileError for what makes the whole file unusable."""
    from core.model.storage import check_texts

    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelFileError("the file is not an ONNX model", where=where, do="choose an .onnx file")
    versions = [opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")]
    if not versions:
        raise ModelFileError("the file does not say which version of the operators it uses", where=where,
                             do="export the model again")
    if versions[0] < OLDEST_OPSET:
        raise ModelFileError(f"it uses opset {versions[0]}, and {OLDEST_OPSET} is the oldest that can be read",
                             where=where, do="convert the model with onnx.version_converter")
    check_texts((proto.producer_name, proto.producer_version, proto.domain, proto.doc_string), where)
    check_texts((text for entry in proto.metadata_props for text in (entry.key, entry.value)), where)
    check_texts((opset.domain for opset in proto.opset_import), where)
    _check_graph(proto.graph, where)
    for function in proto.functions:
        check_texts((function.name, function.domain, *function.input, *function.output), where)
        _check_nodes(function.node, where)


def _check_graph(graph: onnx.GraphProto, where: str) -> None:
    """Check the tensors and names of a graph and its subgraphs, and make its sparse tensors ordinary nodes."""
    from core.model.sparse import expand_sparse
    from core.model.storage import check_tensor, check_texts

    expand_sparse(graph, where)
    check_texts((graph.name, *(info.name for info in (*graph.input, *graph.output, *graph.value_info))), where)
    for tensor in graph.initializer:
        check_tensor(tensor, where)
    _check_nodes(graph.node, where)


def _check_nodes(nodes: Any, where: str) -> None:
    from core.model.storage import check_tensor, check_texts

    for node in nodes:
        check_texts((node.op_type, node.domain, node.name, *node.input, *node.output), where)
        check_texts((text for entry in node.metadata_props for text in (entry.key, entry.value)), where)
        for attribute in node.attribute:
            check_texts((attribute.name,), where)
            if attribute.type == attribute.UNDEFINED:
                raise ModelFileError(f"the attribute {attribute.name!r} of {node.name or node.op_type!r} has no type",
                                     where=where, do="export the model again")
            for tensor in (*([attribute.t] if attribute.type == attribute.TENSOR else []), *attribute.tensors):
                check_tensor(tensor, where)
            for graph in (*([attribute.g] if attribute.type == attribute.GRAPH else []), *attribute.graphs):
                _check_graph(graph, where)


def _map_tensors(model: ir.Model, storage: Storage) -> None:
    """Replace every external tensor by a view of its mapped file."""
    import onnx_ir as ir

    from core.model.graph import places
    from core.model.storage import mapped_tensor

    for place in places(model):
        if isinstance(place.graph, ir.Graph):
            for value in place.graph.initializers.values():
                if isinstance(value.const_value, ir.ExternalTensor):
                    value.const_value = mapped_tensor(value.const_value, storage)
        for node in place.graph:
            for name, attribute in list(node.attributes.items()):
                if attribute.is_ref():
                    continue
                if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, mapped_tensor(attribute.value, storage))
                elif attribute.type == ir.AttributeType.TENSORS:
                    tensors = [mapped_tensor(tensor, storage) if isinstance(tensor, ir.ExternalTensor) else tensor
                               for tensor in attribute.as_tensors()]
                    node.attributes[name] = ir.AttrTensors(name, tensors)


def _port(value: ir.Value) -> Port:
    from core.model.storage import type_name

    shape = None
    if value.shape is not None:
        sizes = (size if isinstance(size, int) else size.value for size in value.shape)
        shape = tuple(None if isinstance(size, int) and size < 0 else size for size in sizes)
    return Port(value.name or "", type_name(value.dtype), shape)


def _notes(graph: ir.Model, found: Found) -> list[str]:
    """Sentences about what is unusual in the file."""
    import onnx

    from core.model.graph import places

    notes: list[str] = []
    newest = onnx.defs.onnx_opset_version()
    opset = graph.graph.opset_imports.get("", 0)
    if opset > newest:
        notes.append(f"The model uses opset {opset}; this version knows up to {newest}.")
    nodes = [node for place in places(graph) for node in place.graph]
    local = {(function.domain, function.name) for function in graph.functions.values()}
    unknown = {f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in nodes
               if (node.domain, node.op_type) not in local and not _is_standard(node)}
    if unknown:
        notes.append(f"Unknown operators: {', '.join(sorted(unknown))}; weights that they use are shown as Other.")
    if not found.layers:
        notes.append("No weights were found in this model.")
    return notes


def _is_standard(node: ir.Node) -> bool:
    """Whether stock ONNX Runtime may know the operator: one of ONNX's, or one in ONNX Runtime's own domains."""
    import onnx

    if node.domain.startswith("com.microsoft"):
        return True
    return onnx.defs.has(node.op_type, domain="" if node.domain == "ai.onnx" else node.domain)


def _root_cause(error: BaseException) -> str:
    from core.model.evaluate import first_line

    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error) or type(error).__name__
