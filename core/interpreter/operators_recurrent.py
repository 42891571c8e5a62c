"""LSTM, GRU and RNN, one step after the other as the specification writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.interpreter.attributes import Attributes, Inputs, Operator, Results, given, optional, unsupported

Activation = Callable[[torch.Tensor], torch.Tensor]
State = tuple[torch.Tensor, ...]

_ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "softsign": torch.nn.functional.softsign,
    "softplus": torch.nn.functional.softplus, "hardsigmoid": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
}  # fmt: skip
"""Activations with their default numbers."""


@dataclass(frozen=True)
class Cell:
    """What one direction of a recurrent layer computes with.

    recurrent    (gates x hidden, hidden)
    input_bias, recurrent_bias   (gates x hidden,)
    peepholes    (3 x hidden,) of an LSTM, or None
    """

    recurrent: torch.Tensor
    input_bias: torch.Tensor
    recurrent_bias: torch.Tensor
    peepholes: torch.Tensor | None
    activations: tuple[Activation, ...]
    attributes: Attributes

    def clipped(self, x: torch.Tensor) -> torch.Tensor:
        limit = self.attributes.number("clip", 0.0)
        return x.clamp(-limit, limit) if limit else x


Step = Callable[[Cell, torch.Tensor, State], State]


def _lstm_step(cell: Cell, x: torch.Tensor, state: State) -> State:
    """x (batch, 4 x hidden) is the input's share of the gates, in the order input, output, forget, cell."""
    hidden, memory = state
    squash, squeeze, out = cell.activations
    gates = x + hidden @ cell.recurrent.T + (cell.input_bias + cell.recurrent_bias)
    i, o, f, c = gates.chunk(4, -1)
    if cell.peepholes is not None:
        peep_i, peep_o, peep_f = cell.peepholes.chunk(3)
        i, f = i + peep_i * memory, f + peep_f * memory
    i = squash(cell.clipped(i))
    f = 1 - i if cell.attributes.integer("input_forget", 0) else squash(cell.clipped(f))
    memory = f * memory + i * squeeze(cell.clipped(c))
    if cell.peepholes is not None:
        o = o + peep_o * memory
    return squash(cell.clipped(o)) * out(memory), memory


def _gru_step(cell: Cell, x: torch.Tensor, state: State) -> State:
    """x (batch, 3 x hidden) is the input's share of the gates, in the order update, reset, hidden."""
    (hidden,) = state
    squash, squeeze = cell.activations
    size = hidden.shape[-1]
    gates = x + cell.input_bias
    both = gates[..., : 2 * size] + hidden @ cell.recurrent[: 2 * size].T + cell.recurrent_bias[: 2 * size]
    update, reset = (squash(cell.clipped(part)) for part in both.chunk(2, -1))
    weight, bias = cell.recurrent[2 * size :].T, cell.recurrent_bias[2 * size :]
    if cell.attributes.integer("linear_before_reset", 0):
        change = reset * (hidden @ weight + bias)
    else:
        change = (reset * hidden) @ weight + bias
    new = squeeze(cell.clipped(gates[..., 2 * size :] + change))
    return ((1 - update) * new + update * hidden,)


def _rnn_step(cell: Cell, x: torch.Tensor, state: State) -> State:
    (hidden,) = state
    gates = x + hidden @ cell.recurrent.T + (cell.input_bias + cell.recurrent_bias)
    return (cell.activations[0](cell.clipped(gates)),)


def _recurrent(step: Step, gates: int, states: int, defaults: tuple[str, ...]) -> Operator:
    """The operator with `gates` gates, `states` carried tensors, and the activations `defaults` of a direction."""

    def run(attributes: Attributes, inputs: Inputs) -> Results:
        batch_first = bool(attributes.integer("layout", 0))
        x, weights, recurrent = (given(inputs, i) for i in range(3))
        x = x.transpose(0, 1) if batch_first else x
        _check_lengths(optional(inputs, 4), x.shape[0])
        directions, hidden = weights.shape[0], recurrent.shape[-1]
        biases = optional(inputs, 3)
        if biases is None:
            biases = x.new_zeros(directions, 2 * gates * hidden)
        starts = [_start(optional(inputs, 5 + i), x, directions, hidden, batch_first) for i in range(states)]
        peepholes, used = optional(inputs, 7), _activations(attributes, defaults * directions)
        outputs, ends = [], []
        for d in range(directions):
            own = used[d * len(defaults) : (d + 1) * len(defaults)]
            bias, bias_r = biases[d].chunk(2)
            peephole = None if peepholes is None else peepholes[d]
            cell = Cell(recurrent[d], bias, bias_r, peephole, own, attributes)
            backwards = d == 1 or attributes.text("direction", "forward") == "reverse"
            steps, end = _unrolled(step, cell, x @ weights[d].T, tuple(s[d] for s in starts), backwards)
            outputs.append(steps)
            ends.append(end)
        y = torch.stack(outputs, 1)
        finals = [torch.stack([end[i] for end in ends], 1 if batch_first else 0) for i in range(states)]
        return (y.permute(2, 0, 1, 3) if batch_first else y, *finals)

    return run


def _unrolled(step: Step, cell: Cell, x: torch.Tensor, state: State, backwards: bool) -> tuple[torch.Tensor, State]:
    """Hidden states (time, batch, hidden) in the order of time, and the last state."""
    seen: list[torch.Tensor] = []
    for part in reversed(x.unbind(0)) if backwards else x.unbind(0):
        state = step(cell, part, state)
        seen.append(state[0])
    return torch.stack(seen[::-1] if backwards else seen), state


def _start(
    initial: torch.Tensor | None, x: torch.Tensor, directions: int, hidden: int, batch_first: bool
) -> torch.Tensor:
    """The first state, (directions, batch, hidden)."""
    if initial is None:
        return x.new_zeros(directions, x.shape[1], hidden)
    return initial.transpose(0, 1) if batch_first else initial


def _activations(attributes: Attributes, defaults: tuple[str, ...]) -> tuple[Activation, ...]:
    names = attributes.texts("activations") or defaults
    unknown = [name for name in names if name.lower() not in _ACTIVATIONS]
    if unknown or "activation_alpha" in attributes or "activation_beta" in attributes:
        raise unsupported(f"the activation {unknown[0]}" if unknown else "an activation with numbers of its own")
    return tuple(_ACTIVATIONS[name.lower()] for name in names)


def _check_lengths(lengths: torch.Tensor | None, steps: int) -> None:
    if lengths is not None and bool((lengths != steps).any()):
        raise unsupported("a batch of sequences of different lengths")


OPERATORS: dict[str, Operator] = {
    "LSTM": _recurrent(_lstm_step, 4, 2, ("Sigmoid", "Tanh", "Tanh")),
    "GRU": _recurrent(_gru_step, 3, 1, ("Sigmoid", "Tanh")),
    "RNN": _recurrent(_rnn_step, 1, 1, ("Tanh",)),
}
