"""What a step that cuts channels does to its group: which layers are cut together, how many channels stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from core.methods.registry import by_key
from core.model.layer import Layer
from core.rewriting.rewrite import channel_step
from gui.charts.card import restyle, with_role
from gui.groups import ChannelGroups
from gui.layers.rows import short_name
from gui.session import Session
from gui.units import unbroken

_MOST_NAMES = 4


@dataclass(frozen=True)
class GroupState:
    """What is said of a layer's group.

    outcome   "18 of 24 channels stay", or why none go
    warns     the outcome is a refusal
    members   names of the layers that are cut together, the shown one included
    names     what is said of them
    """

    outcome: str = ""
    warns: bool = False
    members: tuple[str, ...] = ()
    names: str = ""


def group_state(session: Session, layers: Sequence[Layer]) -> GroupState:
    """The group of the shown layers, as far as it is known; several layers only tell how many belong together."""
    model, groups = session.model, ChannelGroups.of(session)
    if model is None or not layers:
        return GroupState()
    found = [groups.group(layer.name) for layer in layers]
    known = [group for group in found if group is not None]
    if len(known) < len(found):
        return GroupState(groups.problem or "Looking for what is coupled with it\N{HORIZONTAL ELLIPSIS}",
                          warns=bool(groups.problem))
    wanted = {name for group in known for name in group.members}
    members = tuple(layer.name for layer in model.layers if layer.name in wanted)
    outcome, warns = _outcome(session, layers)
    if len(layers) > 1:
        return GroupState(outcome, warns, members, f"{len(members):,} layers are cut together with these")
    group = known[0]
    others = [short_name(model.layer(name)) for name in members if name != layers[0].name]
    shown = ", ".join(others[:_MOST_NAMES]) + (f" and {len(others) - _MOST_NAMES} more" if others[_MOST_NAMES:] else "")
    names = f"Cut together with {shown}" if others else "" if group.why_not else "No other layer's outputs go with it"
    if names and group.readers:
        names += f"; {group.readers} more {'layer loses' if group.readers == 1 else 'layers lose'} inputs"
    if warns or group.why_not:
        return GroupState(outcome or _refusal(group.why_not), True)
    return GroupState(outcome, False, members, names)


def _outcome(session: Session, layers: Sequence[Layer]) -> tuple[str, bool]:
    """What becomes of the layers' channels, as far as it is worked out for the plan in force."""
    prepared, recipe = session.prepared, session.recipe
    if prepared is None or recipe is None:
        return "", False
    rewriting = prepared.rewriting
    refused = [rewriting.refused[layer.name] for layer in layers if layer.name in rewriting.refused]
    if refused and session.measuring:
        return "Samples are being run for this step\N{HORIZONTAL ELLIPSIS}", False
    if refused:
        more = f" ({len(refused)} of {len(layers)} layers)" if len(layers) > 1 else ""
        return _refusal(refused[0]) + more, True
    if len(layers) > 1 or layers[0].name not in rewriting.cut:
        return "", False
    kept, of = rewriting.cut[layers[0].name]
    step = channel_step(recipe.steps_for(layers[0].name))
    heads = step is not None and by_key(step.method).word == "prune_heads"
    return f"{kept:,} of {of:,} channels stay{', in whole heads' if heads else ''}", False


def _refusal(why: str) -> str:
    return f"\N{WARNING SIGN} Not cut: {why}" if why else ""


class GroupBox(QWidget):
    """Two lines and a button.

    selected(names)   the person wants these layers selected
    """

    selected = Signal(tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._members: tuple[str, ...] = ()
        self.outcome, self.names = QLabel(self), QLabel(self)
        for label in (self.outcome, self.names):
            with_role(label, "small")
            label.setWordWrap(True)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.button = QPushButton("Select all", self)
        with_role(self.button, "link")
        self.button.setAccessibleName("Select all layers of the group")
        self.button.clicked.connect(lambda: self.selected.emit(self._members))
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.names, 1)
        line.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.outcome)
        column.addLayout(line)

    def show_state(self, state: GroupState) -> None:
        """Show a group."""
        self._members = state.members
        self.outcome.setText(unbroken(state.outcome))
        restyle(self.outcome, "small_warn" if state.warns else "small")
        self.outcome.setVisible(bool(state.outcome))
        self.names.setText(unbroken(state.names))
        self.names.setVisible(bool(state.names))
        self.button.setVisible(len(state.members) > 1)
        self.button.setToolTip("\n".join(state.members[:20]))
