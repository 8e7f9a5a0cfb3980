"""What a cluster asks of a Ray cluster's machines, and whether they have it: pure.

Nodes of a group that is to be spread are a placement group of their own, a machine each; all others
are one placement group, over as many machines as there are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from configs.plan import NodePlan, Plan
from configs.schema import ClusterSection, NodeGroup
from configs.units import SIZE

SHARED = "nodes"  # the placement group of all who may share machines
ADDED = "added/"  # begins the names of those that came later
CPU, MEMORY = "CPU", "memory"
# Its certificates are for these machines, and its files are there.
_RAISED = "a cluster stays on the machines that it was raised on: `perfuse up` uses all there are"
LEAST = 1e-4  # Ray's finest: sums of floats differ by less


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one node takes of a machine: Ray's resources, and labels that it must have."""

    node: str
    takes: Mapping[str, float]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Placement:
    """A placement group: `strategy` is Ray's word."""

    name: str
    strategy: str
    bundles: tuple[Bundle, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What a machine of the Ray cluster still has, by Ray's count."""

    host: str
    free: Mapping[str, float]
    labels: Mapping[str, str]

    def holds(self, bundle: Bundle) -> bool:
        """Whether a node that asks for this could stand here, if it stood alone."""
        has = all(
            self.free.get(what, 0.0) > amount - LEAST / 2 for what, amount in bundle.takes.items()
        )
        return has and all(self.labels.get(key) == value for key, value in bundle.labels.items())

    def less(self, bundle: Bundle) -> "Room":
        """What is left when such a node stands here."""
        left = {what: amount - bundle.takes.get(what, 0.0) for what, amount in self.free.items()}
        return replace(self, free=left)


def placements_of(cluster: ClusterSection, plan: Plan) -> list[Placement]:
    """The placement groups of all nodes, in the plan's order."""
    shared: list[Bundle] = []
    spread: dict[str, list[Bundle]] = {}
    for node in plan.nodes:
        group = cluster.nodes[node.group]
        bundle = _bundle(node, group)
        (spread.setdefault(node.group, []) if group.machines.spread else shared).append(bundle)
    found = [Placement(name, "STRICT_SPREAD", tuple(each)) for name, each in spread.items()]
    return [*found, *([Placement(SHARED, "SPREAD", tuple(shared))] if shared else [])]


def placement_of(cluster: ClusterSection, node: NodePlan, epoch: int) -> Placement:
    """The placement group of a node that comes while the cluster serves; no other has its name."""
    bundle = _bundle(node, cluster.nodes[node.group])
    return Placement(f"{ADDED}{node.name}/{epoch}", "SPREAD", (bundle,))


def _bundle(node: NodePlan, group: NodeGroup) -> Bundle:
    return Bundle(node.name, _takes(group), dict(group.machines.labels))


def _takes(group: NodeGroup) -> dict[str, float]:
    asked = group.machines
    takes = {CPU: asked.cpus, **asked.resources}
    if asked.memory_bytes is not None:
        takes[MEMORY] = float(asked.memory_bytes)
    return takes


def room_problems(
    cluster: ClusterSection, plan: Plan, rooms: Sequence[Room], *, are_more: bool = False
) -> list[str]:
    """Why these machines cannot hold the cluster, with key, host and what would fit; empty where it
    may be possible. What passes may still be refused by Ray, which knows what goes with what.

    are_more   the nodes are to come to others that stand: `more_problems` looks after the spread
    """
    groups = {node.group: cluster.nodes[node.group] for node in plan.nodes}
    bundles = {node.group: _bundle(node, groups[node.group]) for node in plan.nodes}
    counts = {name: sum(node.group == name for node in plan.nodes) for name in groups}
    problems = []
    for name, bundle in bundles.items():
        key = f"cluster.nodes.{name}"
        hosts = [room.host for room in rooms if room.holds(bundle)]
        if not hosts:
            problems += _nowhere(f"{key}.machines", bundle, rooms)
        elif not are_more and groups[name].machines.spread and len(hosts) < counts[name]:
            problems.append(
                f"{key}.machines.spread: asks for a machine for each of {counts[name]} nodes, and "
                f"{counted(len(hosts))} could hold one ({', '.join(hosts)}): add "
                f"machines, or set {key}.count to {len(hosts)} or spread to false"
            )
    return problems or _too_much(bundles, counts, rooms, are_more)


def more_problems(
    cluster: ClusterSection,
    plan: Plan,
    new: Sequence[NodePlan],
    rooms: Mapping[str, Room],
    where: Mapping[str, str],
) -> list[str]:
    """The same for nodes that are to come to a cluster that stands: `plan` has all of them.

    rooms   machine -> what it still has       where   node -> machine, of those that stand
    """
    problems = []
    for name in dict.fromkeys(node.group for node in new):
        group, wanted = cluster.nodes[name], [node for node in new if node.group == name]
        allowed = machines_for(cluster, plan, wanted[0], rooms, where)
        bundle = _bundle(wanted[0], group)
        hosts = [rooms[machine].host for machine in allowed if rooms[machine].holds(bundle)]
        if group.machines.spread and hosts and len(wanted) > len(hosts):
            stand = sum(node.group == name for node in plan.nodes) - len(wanted)
            problems.append(
                f"cluster.nodes.{name}.machines.spread: each node has a machine of its own, and "
                f"{counted(len(hosts))} could hold one more ({', '.join(hosts)}): scale {name} "
                f"to {stand + len(hosts)} at most ({_RAISED})"
            )
        elif group.machines.spread and not hosts:
            problems.append(
                f"cluster.nodes.{name}.machines.spread: each node has a machine of its own, and no "
                f"machine of the cluster could hold one more: leave {name} as it is ({_RAISED})"
            )
    asked = replace(plan, nodes=tuple(new))
    return problems or room_problems(cluster, asked, list(rooms.values()), are_more=True)


def machines_for(
    cluster: ClusterSection,
    plan: Plan,
    node: NodePlan,
    machines: Iterable[str],
    where: Mapping[str, str],
) -> list[str]:
    """Those of these machines on which a further node may stand, whatever they still have."""
    if not cluster.nodes[node.group].machines.spread:
        return list(machines)
    of_group = [each.name for each in plan.nodes if each.group == node.group]
    taken = {where[each] for each in of_group if each in where}
    return [machine for machine in machines if machine not in taken]


def emptiest(
    bundle: Bundle, machines: Sequence[str], rooms: Mapping[str, Room], where: Mapping[str, str]
) -> list[str]:
    """Those of these machines on which the fewest of the cluster's nodes stand, among all that have
    room for one more.
    """
    stand = Counter(where.values())
    fit = [machine for machine in machines if rooms[machine].holds(bundle)] or machines
    fewest = min((stand[machine] for machine in fit), default=0)
    return [machine for machine in fit if stand[machine] == fewest]


def _nowhere(key: str, bundle: Bundle, rooms: Sequence[Room]) -> list[str]:
    """No machine holds one such node: the first thing that it lacks everywhere, or all of it."""
    for what, value in bundle.labels.items():
        if not any(room.labels.get(what) == value for room in rooms):
            there = sorted({room.labels[what] for room in rooms if what in room.labels})
            shown = f"others have {', '.join(there)}" if there else "none has such a label"
            return [
                f"{key}.labels.{what}: is {value!r}, and no machine is labelled so: {shown}: ask "
                f"for another, or label a machine (ray start --labels {what}={value})"
            ]
    for what, amount in bundle.takes.items():
        most = max(rooms, key=lambda room: room.free.get(what, 0.0), default=None)
        if most is None or most.free.get(what, 0.0) < amount:
            has = "there is none" if most is None else f"the most is on {most.host}"
            free = 0.0 if most is None else most.free.get(what, 0.0)
            return [
                f"{_key(key, what)}: each node takes {_so_much(what, amount)} of {what}, and "
                f"{has}, with {_so_much(what, free)} free: ask for no more, or give a machine more "
                f"(ray start {_flag(what)})"
            ]
    asked = ", ".join(f"{what} {amount:g}" for what, amount in bundle.takes.items())
    return [f"{key}: no machine has all of this free, and the labels asked for: {asked}"]


def _too_much(
    bundles: Mapping[str, Bundle], counts: Mapping[str, int], rooms: Sequence[Room], are_more: bool
) -> list[str]:
    """More of a resource than all machines together have."""
    who, more = "all nodes", "or add machines"
    if are_more:
        who, more = "the new nodes", f"({_RAISED})"
    problems = []
    for what in sorted({what for bundle in bundles.values() for what in bundle.takes}):
        asked = sum(bundle.takes.get(what, 0.0) * counts[name] for name, bundle in bundles.items())
        free = {room.host: room.free.get(what, 0.0) for room in rooms}
        if asked > sum(free.values()) + LEAST / 2:
            shown = ", ".join(f"{host} {amount:g}" for host, amount in free.items())
            groups = [name for name, bundle in bundles.items() if bundle.takes.get(what)]
            problems.append(
                f"{_key(f'cluster.nodes.{groups[0]}.machines', what)}: {who} together take "
                f"{asked:g} of {what}, and free are {sum(free.values()):g} ({shown}): ask "
                f"for less {more}"
            )
    return problems


def _so_much(what: str, amount: float) -> str:
    return SIZE.format(int(amount)) if what == MEMORY else f"{amount:g}"


def counted(count: int) -> str:
    """Machines, in words."""
    return f"{count} machine{'' if count == 1 else 's'}"


def _key(key: str, what: str) -> str:
    return f"{key}.{ {CPU: 'cpus', MEMORY: 'memory'}.get(what, f'resources.{what}') }"


def _flag(what: str) -> str:
    return {CPU: "--num-cpus", MEMORY: "--memory"}.get(what, f"--resources '{{\"{what}\": ...}}'")
