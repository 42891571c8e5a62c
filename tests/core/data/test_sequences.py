"""States that are carried from sample to sample are found in the data, and a model is fed with its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.data import Samples, load_samples
from core.data.sequences import find_sequences, keeps_state
from core.model.layer import Port

N = 12
START = 7
"""A second sequence begins here."""


def step(x: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
    """A leaky sum: the output and the next state."""
    following = np.float32(0.5) * state + x
    return [following.sum(-1), following]


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Samples, list[list[np.ndarray]]]:
    """Two sequences of a leaky sum with the states that it had, and what it gave."""
    x = np.random.default_rng(0).standard_normal((N, 1, 3)).astype(np.float32)
    states, outputs, state = [], [], np.zeros((1, 3), np.float32)
    for i in range(N):
        state = np.zeros((1, 3), np.float32) if i == START else state
        states.append(state)
        outputs.append(step(x[i], state))
        state = outputs[-1][1]
    np.savez(tmp_path / "data.npz", x=x, state=np.stack(states))
    ports = (Port("x", "float32", (1, 3)), Port("state", "float32", (1, 3)))
    return load_samples(tmp_path / "data.npz", ports), outputs


def test_states_are_found_and_sequences_end_where_they_do(recorded: tuple[Samples, list[list[np.ndarray]]]) -> None:
    samples, outputs = recorded
    found = find_sequences(samples, outputs)
    assert found.states == {"state": 1}
    assert found.goes_on.tolist() == [i not in (0, START) for i in range(N)]


def test_a_model_is_fed_with_its_own_states_within_a_sequence(recorded: tuple[Samples, list[list[np.ndarray]]]) -> None:
    samples, outputs = recorded
    found = find_sequences(samples, outputs)
    own = [np.zeros(1, np.float32), np.full((1, 3), 9, np.float32)]
    assert np.all(found.feed(samples, 1, own)["state"] == 9)
    assert np.all(found.feed(samples, START, own)["state"] == 0)
    assert np.array_equal(found.feed(samples, 1, own)["x"], samples.feed(1)["x"])
    assert np.array_equal(found.feed(samples, 1, None)["state"], samples.feed(1)["state"])


def test_samples_that_were_apart_in_the_data_continue_nothing(recorded: tuple[Samples, list[list[np.ndarray]]]) -> None:
    samples, outputs = recorded
    mixed, _ = samples.split(6, seed=1)
    found = find_sequences(mixed, [outputs[i] for i in mixed.order])
    continued = [i for i in range(1, mixed.n) if found.goes_on[i]]
    assert all(mixed.order[i] == mixed.order[i - 1] + 1 for i in continued)


def test_an_input_that_only_looks_like_a_state_is_none(recorded: tuple[Samples, list[list[np.ndarray]]]) -> None:
    samples, outputs = recorded
    shuffled = [outputs[(i * 5) % N] for i in range(N)]
    assert find_sequences(samples, shuffled).states == {}
    assert not keeps_state(samples, shuffled[0], lambda feed: step(feed["x"], feed["state"] + 1))


def test_a_model_whose_outputs_fit_no_input_is_not_run(recorded: tuple[Samples, list[list[np.ndarray]]]) -> None:
    samples, outputs = recorded

    def never(feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        raise AssertionError("the model was run")

    assert not keeps_state(samples, [outputs[0][0]], never)
    assert keeps_state(samples, outputs[0], lambda feed: step(feed["x"], feed["state"]))
