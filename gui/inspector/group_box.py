"""What a step that cuts channels does to its group: which layers are cut together, how many channels stay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from core.methods.registry import by_key
from core.model.layer import Layer
from core.rewriting.rewrite import channel_step
from gui.charts.card import restyle, with_role
from gui.groups import ChannelGroup, ChannelGroups
from gui.layers.rows import cut_words, short_name
from gui.session import Session
from gui.units import unbroken

if TYPE_CHECKING:
    from core.model.model import Model

_MOST_NAMES, _MOST_GROUPS = 4, 4


@dataclass(frozen=True)
class GroupState:
    """What is said of a layer's group.

    outcome   "18 of 24 channels stay", or why none go
    warns     the outcome is a refusal
    members   names of the layers that are cut together, the shown ones included; () when no others are
    names     which others are cut along and which lose inputs; of several shown layers, what becomes of each group
    """

    outcome: str = ""
    warns: bool = False
    members: tuple[str, ...] = ()
    names: str = ""


def group_state(session: Session, layers: Sequence[Layer]) -> GroupState:
    """The groups of the shown layers, as far as they are known."""
    model, groups = session.model, ChannelGroups.of(session)
    if model is None or not layers:
        return GroupState()
    found = [groups.group(layer.name) for layer in layers]
    known = [group for group in found if group is not None]
    if len(known) < len(found):
        return GroupState(groups.problem or "Looking for what is coupled with it\N{HORIZONTAL ELLIPSIS}",
                          warns=bool(groups.problem))
    shown = {layer.name for layer in layers}
    wanted = shown.union(*(group.members for group in known))
    members = tuple(layer.name for layer in model.layers if layer.name in wanted) if wanted > shown else ()
    outcome, warns = _outcome(session, layers)
    if len(layers) > 1:
        return GroupState(outcome, warns, members, _several(session, layers, known))
    group = known[0]
    if warns or group.why_not:
        return GroupState(outcome or _refusal(group.why_not), True)
    others = _listed(model, group.members, shown)
    names = f"Cut together with {others}" if others else "No other layer's outputs go with it"
    return GroupState(outcome, False, members, "; ".join(filter(None, (names, _losing(model, group)))))


def _several(session: Session, layers: Sequence[Layer], groups: Sequence[ChannelGroup]) -> str:
    """A line for each group that the shown layers belong to and that can be cut: "0: 16 of 20 channels stay; ..."."""
    model, prepared = session.model, session.prepared
    if model is None:
        return ""
    refused = prepared.rewriting.refused if prepared is not None else {}
    together: dict[ChannelGroup, list[str]] = {}
    for layer, group in zip(layers, groups, strict=True):
        if not group.why_not and layer.name not in refused:
            together.setdefault(group, []).append(layer.name)
    lines = []
    for group, names in list(together.items())[:_MOST_GROUPS]:
        others = _listed(model, group.members, set(names))
        parts = (_kept(session, names[0]), others and f"cut together with {others}", _losing(model, group))
        said = "; ".join(filter(None, parts))
        if said:
            lines.append(f"{_listed(model, names)}: {said}.")
    rest = len(together) - _MOST_GROUPS
    return "\n".join([*lines, f"and {rest:,} more"] if rest > 0 else lines)


def _losing(model: Model, group: ChannelGroup) -> str:
    """Which layers behind a group lose inputs, or ""."""
    verb = "loses" if len(group.readers) == 1 else "lose"
    return f"{_listed(model, group.readers)} {verb} inputs" if group.readers else ""


def _listed(model: Model, names: Sequence[str], without: Collection[str] = ()) -> str:
    """Layers by their short names, a few of them and how many more; "" for none."""
    titles = [short_name(model.layer(name)) for name in names if name not in without]
    more = len(titles) - _MOST_NAMES
    return ", ".join(titles[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def left_words(session: Session, layers: Sequence[Layer]) -> str:
    """What is said of layers without steps: that they are left as they are, or what other layers' cuts do to them."""
    model, prepared = session.model, session.prepared
    changed = [layer for layer in layers if cut_words(session, layer)[0]]
    if not changed or model is None or prepared is None:
        left, them = ("it is", "it") if len(layers) == 1 else ("they are", "them")
        return f"Left as {left}. Add a step to make {them} smaller."
    if len(layers) > 1:
        which = _listed(model, [layer.name for layer in changed])
        return f"No steps of their own; cuts of other layers make {which} smaller."
    layer, rewriting = layers[0], prepared.rewriting
    if layer.name in rewriting.cut:
        return f"No step of its own; {rewriting.notes.get(layer.name) or cut_words(session, layer)[0]}."
    groups = ChannelGroups.of(session)
    by = [name for name in rewriting.cut if session.steps(name)
          and (group := groups.group(name)) is not None and layer.name in group.readers]
    return f"No step of its own; it loses inputs{f' with layer {_listed(model, by)}' if by else ''}."


def _outcome(session: Session, layers: Sequence[Layer]) -> tuple[str, bool]:
    """What becomes of the layers' channels, as far as it is worked out for the plan in force."""
    prepared = session.prepared
    if prepared is None:
        return "", False
    rewriting = prepared.rewriting
    refused = [rewriting.refused[layer.name] for layer in layers if layer.name in rewriting.refused]
    if any(session.waits_for_samples(layer.name) for layer in layers):
        return "Samples are being run for this step\N{HORIZONTAL ELLIPSIS}", False
    if refused:
        more = f" ({len(refused)} of {len(layers)} layers)" if len(layers) > 1 else ""
        return _refusal(refused[0]) + more, True
    return "" if len(layers) > 1 else _kept(session, layers[0].name), False


def _kept(session: Session, name: str) -> str:
    """How many of a layer's channels stay, or "" while that is not worked out."""
    prepared = session.prepared
    if prepared is None or name not in prepared.rewriting.cut:
        return ""
    kept, of = prepared.rewriting.cut[name]
    step = channel_step(session.steps(name))
    heads = step is not None and by_key(step.method).word == "prune_heads"
    return f"{kept:,} of {of:,} channels stay{', in whole heads' if heads else ''}"


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
        self.button.setVisible(bool(state.members))
        self.button.setToolTip("\n".join(state.members[:20]))
