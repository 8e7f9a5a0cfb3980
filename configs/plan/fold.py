"""What of a cluster is computed as one object with vectors (`cluster.fold`), and what cannot be."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from configs.plan.folded import FoldPlan
from configs.plan.nodes import ChipPlan, NodePlan, ShardPlan
from configs.schema import CHIP_ROLES, DeviceSpec, LinkSpec, NodeGroup, Scenario
from configs.schema.device import ADDER
from configs.units import BANDWIDTH, DURATION

T = TypeVar("T")

# So many like nodes are folded without being asked for: small clusters stay message by message.
AUTO_NODES_MIN = 64
_FOLDED = (*CHIP_ROLES, "experts")


def fold_of(
    scenario: Scenario, nodes: tuple[NodePlan, ...], has_states: bool = False
) -> tuple[FoldPlan, list[str]]:
    """What is folded, and what is wrong: a fold that was asked for and cannot be."""
    asked = scenario.cluster.fold
    if asked == "off":
        return FoldPlan(why_not=("cluster.fold is off",)), []
    counts = {
        name: group.count or 1
        for name, group in scenario.cluster.nodes.items()
        if any(role in _FOLDED for role in group.workers)
    }
    most = max(counts, key=lambda name: counts[name], default="")
    if asked == "auto" and counts.get(most, 0) < AUTO_NODES_MIN:
        few = f"no group has {AUTO_NODES_MIN} chips or expert shards: {most} has {counts[most]}"
        return FoldPlan(why_not=(few,) if most else ()), []
    why_not = tuple(dict.fromkeys([*_unfoldable(scenario, has_states), *_differences(nodes)]))
    if why_not:
        told = [f"cluster.fold: is 'on', and {why}; or leave fold out" for why in why_not]
        return FoldPlan(why_not=why_not), told if asked == "on" else []
    workers = [worker for node in nodes for worker in node.workers]
    return FoldPlan(
        tuple(worker.name for worker in workers if worker.role in CHIP_ROLES),
        tuple(worker.name for worker in workers if worker.role == "experts"),
    ), []


def _unfoldable(scenario: Scenario, has_states: bool) -> Iterator[str]:
    """What no fold computes yet, each with the nearest that would do."""
    if has_states:
        yield "layers of the model keep states, which folded chips do not: take another"
    cluster, model, placement = scenario.cluster, scenario.model, scenario.placement
    if cluster.world != "virtual":
        yield f"cluster.world is {cluster.world!r}: live nodes stand one by one; make it virtual"
    if model.numerics == "real":
        yield "model.numerics is 'real': every chip computes its own; make it digest or counts"
    is_drawn = model.routing.bursty is None and model.routing.balanced is None
    if model.numerics == "counts" and not is_drawn:
        yield (
            "model.routing is bursty or balanced, and model.numerics 'counts': folded choices are "
            "drawn from a pool of tokens, which know no position and no step; make it zipf"
        )
    if model.micro_batches != 1:
        yield f"model.micro_batches is {model.micro_batches}: a folded step is one batch; make it 1"
    if cluster.network is not None:
        yield (
            f"cluster.network is a {cluster.network.type}: folded messages cross no inner link, "
            "but wait for those before them at both ends; leave network out"
        )
    if scenario.faults:
        yield f"faults has {len(scenario.faults)}: no link of a fold has any; leave them out"
    for key, is_given, instead in (
        ("experts.replicas", placement.experts.replicas is not None, "leave it out"),
        ("experts.mode", placement.experts.mode != "near", "make it near"),
        ("experts.on_timeout", placement.experts.on_timeout != "fail", "make it fail"),
        ("experts.timeout", placement.experts.timeout_ns is not None, "leave it out"),
        ("experts.dispatch", placement.experts.dispatch != "direct", "make it direct"),
        ("experts.combine", placement.experts.combine != "direct", "make it direct"),
        ("experts_prefetch", placement.experts_prefetch, "leave it out"),
        ("hot_experts", bool(placement.hot_experts), "leave it out"),
        ("kv_near", placement.kv_near is not None, "leave it out"),
        ("kv_offload", placement.kv_offload is not None, "leave it out"),
    ):
        if is_given:
            yield f"placement.{key} is given, which folded steps do not have; {instead}"
    for name, group in cluster.nodes.items():
        if any(role in _FOLDED for role in group.workers):
            yield from _group_problems(f"cluster.nodes.{name}", group)
            yield from _link_problems(f"cluster.nodes.{name}.link", group.link)
            yield from _device_problems(f"cluster.nodes.{name}.device", group.device)


def _group_problems(key: str, group: NodeGroup) -> Iterator[str]:
    if len(group.workers) > 1:
        yield (
            f"{key}.workers has {', '.join(group.workers)} on one node: a folded chip or shard "
            "has its node for itself; give each a group"
        )
    if group.num_ranks > 1:
        yield f"{key} has chips of {group.num_ranks} ranks: folded ones have 1"
    if group.spares:
        yield f"{key}.spares is {group.spares}: nobody is lost in a fold; leave it out"


def _link_problems(key: str, link: LinkSpec) -> Iterator[str]:
    if link.sharing != "fifo":
        yield f"{key}.sharing is {link.sharing!r}: folded messages go in order; make it fifo"
    for name, is_given in (
        ("overhead", link.overhead_ns > 0),
        ("message_rate", link.messages_per_s is not None),
        ("dram_latency", link.dram_latency_ns > 0),
    ):
        if is_given:
            yield f"{key}.{name} is given: folded messages cost their bytes alone; leave it out"


def _device_problems(key: str, device: DeviceSpec) -> Iterator[str]:
    """Resources whose time hangs on what was asked for before, beyond who comes first."""
    if device.compute_sharing != "fifo":
        yield f"{key}.compute_sharing is {device.compute_sharing!r}; make it fifo"
    for name, engine in device.engines.items():
        if engine.sharing != "fifo":
            yield f"{key}.engines.{name}.sharing is {engine.sharing!r}; make it fifo"
    if ADDER in device.resources:
        yield f"{key}.resources.{ADDER} is given: nothing is added at a folded link; leave it out"
    for name, tier in device.tiers.items():
        for what, is_given in (
            ("banks", tier.banks is not None),
            ("buffer", tier.buffer_bytes is not None),
            ("sharing", tier.sharing != "fifo"),
            ("layout", tier.layout is not None),
        ):
            if is_given:
                yield (
                    f"{key}.tiers.{name} has {what}, by which a launch hangs on those before it: "
                    "folded ones take tiers in order; leave it out"
                )


def _differences(nodes: tuple[NodePlan, ...]) -> Iterator[str]:
    """A fold's shards are alike, and its chips hang on one kind of link."""
    shards = [node for node in nodes if isinstance(node.workers[0], ShardPlan)]
    chips = [node for node in nodes if node.workers[0].role in CHIP_ROLES]
    if chips and not shards:
        return
    for first, node, known, device in _unlike((n, n.device) for n in shards):
        yield (
            f"expert shards differ: {first.name} is a {known.name} and {node.name} a "
            f"{device.name} of other figures; give cluster.nodes.{node.group} the device "
            f"of {first.group}"
        )
    tiers = ((n, w.tier) for n in shards for w in n.workers if isinstance(w, ShardPlan))
    for first, node, lies_in, tier in _unlike(tiers):
        yield (
            f"expert shards differ: experts of {first.name} lie in {lies_in} and those "
            f"of {node.name} in {tier}; give cluster.nodes.{node.group}.tiers the experts of "
            f"{first.group}"
        )
    for one in (shards, chips):
        for first, node, known_link, link in _unlike((n, n.link) for n in one):
            yield (
                f"links differ: {first.name} has {_told(known_link)} and {node.name} "
                f"{_told(link)}; give cluster.nodes.{node.group} the link of {first.group}"
            )
    if any(isinstance(w, ChipPlan) and w.sliding is not None for n in chips for w in n.workers):
        yield "layers of the model have a window, and give blocks back as it moves: take another"
    forms = ((n, w.form) for n in chips for w in n.workers if isinstance(w, ChipPlan))
    for first, node, kept, form in _unlike(forms):
        yield (
            f"KV blocks differ: {first.name} has {kept.size} tokens of {kept.numbers} in one "
            f"and {node.name} {form.size} of {form.numbers}; give cluster.nodes.{node.group} "
            f"the kv of {first.group}"
        )


def _unlike(held: Iterable[tuple[NodePlan, T]]) -> Iterator[tuple[NodePlan, NodePlan, T, T]]:
    """The first node, the first of those that have something else, and what either has."""
    pairs = list(held)
    for node, other in pairs[1:]:
        first, known = pairs[0]
        if other != known:
            yield first, node, known, other
            return


def _told(link: LinkSpec) -> str:
    figures = f"{BANDWIDTH.format(link.bytes_per_s)}, {DURATION.format(link.latency_ns)}"
    return f"{figures}, {link.pj_per_bit:g} pJ/bit"
