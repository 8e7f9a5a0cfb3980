"""A chip with all that it needs: built as the plan says, and started."""

from collections.abc import Callable, Sequence

from cluster.text.vocabulary import open_grammars
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.experts import exchange_of
from cluster.worlds.models import NodeModels
from cluster.worlds.near import far_of
from cluster.worlds.offloading import offload_of
from cluster.worlds.prefetching import hints_of
from cluster.worlds.scheduling import scheduler_of
from configs.plan import ChipPlan
from workers.chip.chip import Chip
from workers.chip.scheduler import Scheduler
from workers.chip.stepper import Stepper
from workers.experts.routing import RoutingTable
from workers.kv.pool_client import PoolClient
from workers.kv.pool_drops import PoolDrops
from workers.model.base import ChipModel
from workers.model.local import LocalStep
from workers.node import Node


def stand_chip(
    node: Node, blueprint: Blueprint, worker: ChipPlan, models: NodeModels, router: str
) -> Chip:
    """A chip serves from now on, and tells `router`. Raises CheckpointError where the folder does
    not fit.
    """
    placement, timeout_ns = blueprint.scenario.placement, blueprint.timeout_ns
    model, local_step = models.chip(worker)
    scheduler, servers = scheduler_of(blueprint, worker), blueprint.plan.names("memory")
    pool: PoolClient | None = None
    forget: Callable[[Sequence[bytes]], None] = _nothing
    if placement.kv_pool:
        pool = PoolClient(node, node.port(worker.name), model, servers, timeout_ns)
        forget = pool.forget
    if placement.pools:
        drops = PoolDrops(node, node.port(worker.name), servers, timeout_ns, forget)
        scheduler.roster.on_distrusted = drops.distrust
    chip = Chip(
        node,
        worker.name,
        model,
        scheduler,
        _stepper(node, blueprint, worker, model, local_step, scheduler),
        router=router,
        eos_token_ids=blueprint.model.eos_token_ids,
        grammars=open_grammars(blueprint.folder),
        timeout_ns=timeout_ns,
        pool=pool,
    )
    if placement.search == "ship":
        from workers.memory.shipped_search import ShippedSearch

        ShippedSearch(node, node.port(worker.name), worker.activations_tier)
    node.spawn(chip.serve(), worker.name)
    return chip


def _nothing(_: Sequence[bytes]) -> None:
    """Of a chip that puts nothing into the pool by itself."""


def _stepper(
    node: Node,
    blueprint: Blueprint,
    worker: ChipPlan,
    model: ChipModel,
    local_step: LocalStep | None,
    scheduler: Scheduler,
) -> Stepper:
    plan, timeout_ns = blueprint.plan, blueprint.timeout_ns
    offload = offload_of(node, worker, model, scheduler, plan.names("memory"), timeout_ns)
    return Stepper(
        node,
        model,
        exchange_of(node, blueprint, worker),
        RoutingTable.of(plan.experts, plan.names("experts"), weights=plan.shares),
        timeout_ns=timeout_ns,
        num_batches=blueprint.scenario.model.micro_batches,
        local_step=local_step,
        eos_token_ids=blueprint.model.eos_token_ids,
        before_step=None if offload is None else offload.read_out,
        hints=hints_of(blueprint, node, worker),
        far=far_of(blueprint, node, worker.name, model, scheduler),
    )
