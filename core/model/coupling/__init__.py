"""Which channels of which tensors must be cut together, and cutting them.

After Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023, but element by element: every place along
every axis of every stored tensor is an atom, and the operators tie atoms (`rules_*`). Connected atoms are a unit: it
stays or goes as a whole. Units that share a producer (an axis of output channels) are a group.
"""

from core.model.coupling.cutting import cut, mask
from core.model.coupling.groups import Coupling, Group, Member, Role, find_groups

__all__ = ["Coupling", "Group", "Member", "Role", "cut", "find_groups", "mask"]
