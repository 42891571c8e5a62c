"""Attention and what belongs to it, of opset 23 to 25."""

from __future__ import annotations

import torch

from core.interpreter.attributes import Attributes, Inputs, Operator, given, optional
from core.interpreter.tensors import torch_type

_AFTER_SCALE, _AFTER_CAP, _AFTER_MASK, _AFTER_SOFTMAX = range(4)
"""qk_matmul_output_mode: which scores are the fourth output."""


def _attention(attributes: Attributes, inputs: Inputs) -> tuple[torch.Tensor | None, ...]:
    """Scaled dot products; several queries' heads may share a key's (GQA). Ainslie et al., GQA, 2023."""
    q, k, v = (given(inputs, index) for index in range(3))
    joined = q.dim() == 3
    heads, shared = attributes.integer("q_num_heads", 0), attributes.integer("kv_num_heads", 0)
    q = _split(q, heads) if joined else q
    k, v = ((_split(part, shared) if part.dim() == 3 else part) for part in (k, v))
    past_k, past_v = optional(inputs, 4), optional(inputs, 5)
    offset: int | torch.Tensor = 0
    if past_k is not None and past_v is not None:
        offset = past_k.shape[2]
        k, v = torch.cat((past_k, k), 2), torch.cat((past_v, v), 2)
    lengths = optional(inputs, 6)
    if lengths is not None and past_k is None:
        offset = (lengths - q.shape[2]).reshape(-1, 1, 1, 1)
    repeat = q.shape[1] // k.shape[1]
    weights, chosen = _weights(attributes, inputs, q, k.repeat_interleave(repeat, 1), offset)
    y = torch.matmul(weights, v.repeat_interleave(repeat, 1))
    y = y.transpose(1, 2).flatten(2) if joined else y
    return y, k, v, chosen if attributes.wants(3) else None


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(batch, heads, length, size) of (batch, length, heads x size)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _weights(
    attributes: Attributes, inputs: Inputs, q: torch.Tensor, k: torch.Tensor, offset: int | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights that softmax makes of the scores, and the stage of them that the fourth output asks for."""
    scale = attributes.number("scale", 0.0) or q.shape[-1] ** -0.5
    root = scale**0.5
    scores = torch.matmul(q * root, k.transpose(-1, -2) * root)
    stages = {_AFTER_SCALE: scores}
    cap = attributes.number("softcap", 0.0)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    stages[_AFTER_CAP] = scores
    mask = _mask(attributes, inputs, scores, offset)
    if mask is not None:
        scores = scores + mask
    stages[_AFTER_MASK] = scores
    kind = attributes.value("softmax_precision")
    wide = scores if kind is None else scores.to(torch_type(kind))
    weights = torch.softmax(wide, -1)
    empty = torch.isneginf(wide).all(-1, keepdim=True)  # a query that may look at nothing sees nothing
    weights = torch.where(empty, 0.0, weights).to(q.dtype)
    stages[_AFTER_SOFTMAX] = weights
    return weights, stages[attributes.integer("qk_matmul_output_mode", 0)]


def _mask(
    attributes: Attributes, inputs: Inputs, scores: torch.Tensor, offset: int | torch.Tensor
) -> torch.Tensor | None:
    """What is added to the scores: 0 or the given number where a key may be looked at, else minus infinity."""
    queries, keys = scores.shape[-2:]
    mask, lengths = optional(inputs, 3), optional(inputs, 6)
    blocked = torch.zeros((), dtype=torch.bool)
    total: torch.Tensor | None = None
    if mask is not None:
        missing = keys - mask.shape[-1]
        if mask.dtype == torch.bool:
            blocked = blocked | ~torch.nn.functional.pad(mask, (0, missing), value=False)
        else:
            total = torch.nn.functional.pad(mask, (0, missing), value=-torch.inf)
    ahead = torch.arange(keys) - (torch.arange(queries).unsqueeze(-1) + offset)
    left, right = (attributes.integer(f"{side}_window_size", -1) for side in ("left", "right"))
    if attributes.integer("is_causal", 0):
        blocked = blocked | (ahead > 0)
    if left >= 0:
        blocked = blocked | (ahead < -left)
    if right >= 0:
        blocked = blocked | (ahead > right)
    if lengths is not None:
        blocked = blocked | (torch.arange(keys) >= lengths.reshape(-1, 1, 1, 1))
    if total is None and not blocked.any():
        return None
    total = torch.zeros((), dtype=scores.dtype) if total is None else total
    return torch.where(blocked, torch.tensor(-torch.inf, dtype=scores.dtype), total)


def _rotary(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """Pairs of numbers turned by their place's angle. Su et al., RoFormer, 2021."""
    x, cos, sin, places = given(inputs, 0), given(inputs, 1), given(inputs, 2), optional(inputs, 3)
    joined = x.dim() == 3
    heads = attributes.integer("num_heads", 0)
    turned = x.reshape(x.shape[0], x.shape[1], heads, -1) if joined else x.transpose(1, 2)
    size = attributes.integer("rotary_embedding_dim", 0) or turned.shape[-1]
    if places is not None:
        cos, sin = cos[places], sin[places]
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    part, rest = turned[..., :size], turned[..., size:]
    if attributes.integer("interleaved", 0):
        first, second = part[..., 0::2], part[..., 1::2]
        part = torch.stack((first * cos - second * sin, first * sin + second * cos), -1).flatten(-2)
    else:
        first, second = part.chunk(2, -1)
        part = torch.cat((first * cos - second * sin, first * sin + second * cos), -1)
    whole = torch.cat((part, rest), -1)
    return whole.reshape(x.shape) if joined else whole.transpose(1, 2)


OPERATORS: dict[str, Operator] = {"Attention": _attention, "RotaryEmbedding": _rotary}
