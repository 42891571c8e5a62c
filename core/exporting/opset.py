"""Raising a graph's opset, for encodings whose operators came later than the model."""

from __future__ import annotations

import onnx_ir as ir

from core.errors import FeatherweightError


def default_opset(model: ir.Model) -> int:
    """Version of the default domain's operators."""
    return int(model.opset_imports.get("", 0) or model.opset_imports.get("ai.onnx", 0))


def raise_opset(model: ir.Model, target: int) -> ir.Model:
    """The same graph with the default domain at opset `target`, by onnx's own converter.

    Raises FeatherweightError when the converter has no way for one of the operators; the caller then leaves the layers
    that need it as they were.
    """
    import onnx
    from onnx import version_converter

    if default_opset(model) >= target:
        return model
    # The converter looks at constant inputs, so tensors go in whole, not as references.
    ir.external_data.load_to_model(model)
    before = ir.to_proto(model)
    try:
        after = version_converter.convert_version(before, target)
        # It infers shapes on the way and drops what it does not know of.
        del after.graph.value_info[:]
        after.graph.value_info.extend(before.graph.value_info)
        after.ir_version = max(
            before.ir_version, onnx.helper.find_min_ir_version_for(after.opset_import, ignore_unknown=True)
        )
        if not after.metadata_props:
            after.metadata_props.extend(before.metadata_props)
        return ir.from_proto(after)
    except Exception as error:  # the converter's C++ errors have no common base
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise FeatherweightError(
            f"onnx cannot convert the model from opset {default_opset(model)} to {target}: {reason}",
            do="the layers that need it stay as they were",
        ) from error
