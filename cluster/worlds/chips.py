"""A chip with all that it needs, or a rank of one: built as the plan says, and started."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from cluster.text.vocabulary import open_grammars
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.experts import exchange_of, late_of, patience_of, stand_ins_of
from cluster.worlds.forms import forms_of, numbers_of
from cluster.worlds.models import NodeModels
from cluster.worlds.near import far_of
from cluster.worlds.offloading import offload_of
from cluster.worlds.prefetching import hints_of
from cluster.worlds.scheduling import scheduler_of
from cluster.worlds.switches import by_switch, switch_of
from configs.plan import ChipPlan, PartPlan, RankPlan
from workers.chip.chip import Chip
from workers.chip.placeholders import Placeholders
from workers.chip.scheduler import Scheduler
from workers.chip.split import Split
from workers.chip.stepper import Stepper
from workers.experts.routing import RoutingTable
from workers.kv.crossing import Forms
from workers.kv.parts import KvParts
from workers.kv.pool_client import PoolClient
from workers.kv.pool_drops import PoolDrops
from workers.model.base import ChipModel, RankModel
from workers.model.local import LocalStep
from workers.node import Node
from workers.parallel.leader import Leader
from workers.parallel.rank import Rank
from workers.parallel.running import Running
from workers.parallel.team import Team
from workers.wire.port import Port

if TYPE_CHECKING:
    from cluster.worlds.folding import ClusterFold
    from workers.fold.fold import Member


def stand_chip(
    node: Node,
    blueprint: Blueprint,
    worker: ChipPlan,
    models: NodeModels,
    router: str,
    fold: "ClusterFold | None" = None,
) -> Chip:
    """A chip serves from now on, and tells `router`; `fold` computes its steps, if there is one.
    Raises CheckpointError where the folder does not fit.
    """
    placement, timeout_ns = blueprint.scenario.placement, blueprint.timeout_ns
    scheduler, port = scheduler_of(blueprint, worker), node.port(worker.name)
    forms = forms_of(blueprint, worker)
    split = Split(forms=forms)
    model: ChipModel
    local_step: LocalStep | None = None
    member = None
    if fold is not None:
        member = fold.member(node, worker, models)
        model = member.model
    elif blueprint.plan.is_split:
        model = ranked = models.rank(worker)
        split = _split(node, blueprint, worker, ranked, scheduler, port, forms)
    else:
        model, local_step = models.chip(worker)
    chip = _make(member)(
        node,
        worker.name,
        model,
        scheduler,
        _stepper(node, blueprint, worker, model, local_step, scheduler, split.leader),
        router=router,
        eos_token_ids=blueprint.model.eos_token_ids,
        grammars=open_grammars(blueprint.folder),
        timeout_ns=timeout_ns,
        pool=_pool(node, blueprint, worker, model, scheduler),
        split=split,
    )
    if placement.search == "ship":
        from workers.memory.shipped_search import ShippedSearch

        ShippedSearch(node, node.port(worker.name), worker.activations_tier)
    node.spawn(chip.serve(), worker.name)
    return chip


def _make(member: "Member | None") -> Callable[..., Chip]:
    """A chip by itself, or a member of a fold."""
    if member is None:
        return Chip
    from workers.fold.chip import FoldedChip

    return partial(FoldedChip, member=member)


def _pool(
    node: Node, blueprint: Blueprint, worker: ChipPlan, model: ChipModel, scheduler: Scheduler
) -> PoolClient | None:
    """A chip's way to prefixes that memory servers keep, where they keep any."""
    placement, timeout_ns = blueprint.scenario.placement, blueprint.timeout_ns
    servers, name = blueprint.plan.names("memory"), worker.name
    numbers = numbers_of(blueprint, worker)
    pool: PoolClient | None = None
    forget: Callable[[Sequence[bytes]], None] = _nothing
    if placement.kv_pool:
        silence_ns = patience_of(blueprint).silence_ns
        pool = PoolClient(node, node.port(name), model, servers, timeout_ns, numbers, silence_ns)
        forget = pool.forget
    if placement.pools:
        drops = PoolDrops(node, node.port(name), servers, timeout_ns, forget)
        scheduler.roster.on_distrusted = drops.distrust
    return pool


def _nothing(_: Sequence[bytes]) -> None:
    """Of a chip that puts nothing into the pool by itself."""


def _stepper(
    node: Node,
    blueprint: Blueprint,
    worker: ChipPlan,
    model: ChipModel,
    local_step: LocalStep | None,
    scheduler: Scheduler,
    leader: Leader | None,
) -> Stepper:
    plan, timeout_ns = blueprint.plan, blueprint.timeout_ns
    servers, numbers = plan.names("memory"), numbers_of(blueprint, worker)
    offload = offload_of(node, worker, model, scheduler, servers, timeout_ns, numbers)
    return Stepper(
        node,
        model,
        exchange_of(node, blueprint, worker),
        table_of(blueprint),
        timeout_ns=timeout_ns,
        num_batches=blueprint.scenario.model.micro_batches,
        local_step=local_step,
        eos_token_ids=blueprint.model.eos_token_ids,
        chooser=_chooser(blueprint),
        before_step=None if offload is None else offload.read_out,
        hints=hints_of(blueprint, node, worker),
        far=far_of(blueprint, node, worker.name, model, scheduler),
        ranked=leader,
        late=late_of(blueprint),
    )


def _chooser(blueprint: Blueprint) -> Placeholders | None:
    """None where the model's logits say which token comes."""
    if blueprint.scenario.model.numerics != "counts":
        return None
    return Placeholders(blueprint.model.vocab, blueprint.model.eos_token_ids)


def table_of(blueprint: Blueprint) -> RoutingTable:
    """Who holds which experts, and how their copies share tokens."""
    plan = blueprint.plan
    return RoutingTable.of(plan.experts, plan.names("experts"), weights=plan.shares)


def _split(
    node: Node,
    blueprint: Blueprint,
    worker: ChipPlan,
    model: RankModel,
    scheduler: Scheduler,
    port: Port,
    forms: Forms,
) -> Split:
    """Where chips of the cluster have several ranks: how this one leads its own, if it has any, and
    how its KV goes to others.
    """
    plan, timeout_ns = blueprint.plan, blueprint.timeout_ns
    ranks, part = plan.ranks[worker.name], plan.part(worker)
    if not ranks.is_split:
        parts = KvParts(node, port, model, part, plan.ranks, timeout_ns, forms=forms)
        return Split(model, parts, forms=forms)
    team = Team(node, port, ranks, ranks.leader, timeout_ns)
    running = _running(node, blueprint, worker, model, team)
    parts = KvParts(node, port, model, part, plan.ranks, timeout_ns, team, forms)
    return Split(model, parts, Leader(team, running, scheduler.blocks), forms)


def stand_rank(node: Node, blueprint: Blueprint, worker: RankPlan, models: NodeModels) -> Rank:
    """A rank follows its leader from now on. Raises CheckpointError where the folder does not
    fit.
    """
    plan, timeout_ns = blueprint.plan, blueprint.timeout_ns
    model, ranks, port = models.rank(worker), plan.ranks[worker.chip], node.port(worker.name)
    team = Team(node, port, ranks, worker.number, timeout_ns)
    running = _running(node, blueprint, worker, model, team)
    ways = timeout_ns, team, forms_of(blueprint, worker)
    parts = KvParts(node, port, model, plan.part(worker), plan.ranks, *ways)
    rank = Rank(node, model, team, running, parts)
    node.spawn(rank.serve(), worker.name)
    return rank


def _running(
    node: Node, blueprint: Blueprint, worker: PartPlan, model: RankModel, team: Team
) -> Running:
    stand_ins = stand_ins_of(node, blueprint)
    by, patience = by_switch(blueprint, worker), patience_of(blueprint)
    exchange = node.dispatch_side(worker.name, by, stand_ins, patience)
    batches = blueprint.scenario.model.micro_batches
    algorithm = blueprint.scenario.placement.collectives.all_reduce
    switch = switch_of(blueprint.plan, worker)
    how = team, batches, algorithm, switch, late_of(blueprint)
    return Running(node, model, exchange, table_of(blueprint), *how)
