"""Which layers' channels are cut together: found once a model in a thread, when somebody first asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from core.errors import FeatherweightError
from core.progress import Reporter

if TYPE_CHECKING:
    from core.model.model import Model
    from gui.session import Session

GROUPS = "channel groups"
"""Key of the task."""


@dataclass(frozen=True)
class ChannelGroup:
    """The channels that a layer's own are cut together with.

    members  names of the layers that lose output channels, in the model's order, the layer itself among them
    readers  names of the further layers that lose inputs, norms left out
    units    how many channels (or heads) there are to choose from
    heads    whether only whole attention heads can go
    why_not  why none can be cut (one clause), or ""
    """

    members: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    units: int = 0
    heads: bool = False
    why_not: str = ""


class ChannelGroups(QObject):
    """The groups of the session's model.

    changed   they were found, or belong to another model and are gone
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._found: dict[str, ChannelGroup] | None = None
        self.problem = ""
        session.modelChanged.connect(self._forget)

    @classmethod
    def of(cls, session: Session) -> ChannelGroups:
        """The session's one such object, made at the first call."""
        found = session.findChild(cls)
        return found if isinstance(found, cls) else cls(session)

    def group(self, name: str) -> ChannelGroup | None:
        """The group of a layer; None while they are being found (`changed` follows), or when they cannot be."""
        if self._found is None:
            self._ask()
            return None
        return self._found.get(name, ChannelGroup(why_not="its channels belong to no group"))

    def _ask(self) -> None:
        model = self._session.model
        if model is None or self.problem or self._session.running(GROUPS):
            return

        def done(found: dict[str, ChannelGroup]) -> None:
            if self._session.model is model:
                self._found = found
                self.changed.emit()

        def failed(error: FeatherweightError) -> None:
            if self._session.model is model:
                self.problem = str(error)
                self.changed.emit()

        self._session.tasks.thread(GROUPS, find_channel_groups, model, done=done, failed=failed)

    def _forget(self) -> None:
        self._session.tasks.cancel(GROUPS)
        self._found, self.problem = None, ""
        self.changed.emit()


def find_channel_groups(model: Model, reporter: Reporter) -> dict[str, ChannelGroup]:
    """The group of every layer of a model, by name; of several (where a Split parts its channels) the union."""
    from core.model.coupling.groups import Group, channel_axis
    from core.model.layer import Kind

    coupling = model.coupling
    reporter.check()

    def layers_of(groups: tuple[Group, ...], outputs: bool) -> tuple[str, ...]:
        names = set()
        for member in (member for group in groups for member in group.members):
            layer = coupling.layers.get(member.tensor)
            if layer is not None and layer.kind is not Kind.NORM and (member.axis == channel_axis(layer)) == outputs:
                names.add(layer.name)
        return tuple(layer.name for layer in model.layers if layer.name in names)

    found = {}
    for layer in model.layers:
        groups = coupling.groups_of(layer.name)
        members = layers_of(groups, outputs=True)
        readers = tuple(name for name in layers_of(groups, outputs=False) if name not in members)
        found[layer.name] = ChannelGroup(members, readers, sum(group.units for group in groups),
                                         any(group.heads for group in groups), coupling.why_not(layer.name))
    return found
