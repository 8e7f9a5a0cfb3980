"""What messages and shards' launches of a fold cost, as their kinds and their work say."""

import numpy as np

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.models import NodeModels
from cluster.worlds.numerics import wire_numerics
from configs.plan import ChipPlan, ShardPlan
from configs.schema import LinkSpec
from kernels.fold import Link, Size, Term, Terms
from workers.fold.launches import Bench
from workers.fold.shards import Asks
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock
from workers.wire.kinds.experts import Combine, Dispatch


def _link(link: LinkSpec) -> Link:
    return Link(link.bytes_per_s, link.latency_ns, link.startup_ns)


def _sizes(blueprint: Blueprint) -> tuple[Size, Size]:
    """Of dispatches and combines, as their kinds are charged."""
    numerics, top_k = wire_numerics(blueprint), max(1, blueprint.model.top_k)

    def dispatch(rows: int) -> int:
        numbers, row = np.zeros(rows, np.uint64), numerics.sent(np.zeros(rows, np.uint64))
        experts, weights = np.zeros((rows, top_k), np.int32), np.zeros((rows, top_k), np.float32)
        content = Dispatch(0, numbers, numbers.astype(np.int64), experts, weights, row)
        return content.wire_bytes(numerics)

    def combine(rows: int) -> int:
        return Combine(np.zeros(rows, dtype=np.uint64)).wire_bytes(numerics)

    one, other = (Size(2 * of(1) - of(2), of(2) - of(1)) for of in (dispatch, combine))
    return one, other


def terms_of(
    blueprint: Blueprint, clock: VirtualClock, chip: ChipPlan, shards: list[ShardPlan]
) -> tuple[Terms, Asks]:
    """What messages and shards' launches cost: as their kinds and their work say."""
    plan, (dispatch, combine) = blueprint.plan, _sizes(blueprint)
    link = _link(plan.node(chip.node).link)
    if not shards:  # no layer has experts: nobody is asked
        return Terms(link, link, dispatch, combine, reads_ns=(0, 0)), Asks(dispatch, combine)
    shard, node = shards[0], plan.node(shards[0].node)
    bench, overhead_ns = Bench(node.device, clock), node.device.launch_overhead_ns
    one = np.array([shard.expert_ids[:1]], dtype=np.int32)
    work = NodeModels(blueprint, node).work(shard).experts(one, shard.expert_ids)
    compute, read = work.demands
    most = max(len(held.expert_ids) for held in shards)
    reads = [
        bench.launch(Work("experts", (read._replace(amount=read.amount * n),)))
        for n in range(most + 1)
    ]
    terms = Terms(
        link,
        _link(node.link),
        dispatch,
        combine,
        overhead_ns,
        tuple(measure.took_ns - overhead_ns for measure in reads),
        (Term("choices", compute.amount, float(bench.rate(compute.resource))),),
    )
    asked = reads[1].resources[read.resource]
    latency_ns = asked.taken_ns - asked.busy_ns
    return terms, Asks(
        dispatch, combine, compute.resource, compute.amount, read.resource, read.amount, latency_ns
    )
