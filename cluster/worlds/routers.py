"""The router of a cluster, as its blueprint has it."""

from cluster.router.chips_of import chips_of
from cluster.router.experts_gone import told_by
from cluster.router.router import Router
from cluster.router.settings import RouterSettings
from cluster.text.dates import clock_of
from cluster.text.tokenizer import open_tokenizer
from cluster.worlds.blueprint import Blueprint
from configs.plan import WorkerPlan
from workers.node import Node


def stand_router(node: Node, blueprint: Blueprint, worker: WorkerPlan) -> Router:
    """On its node; its journal goes on where it has one."""
    scenario, plan = blueprint.scenario, blueprint.plan
    settings = RouterSettings(
        model=scenario.model.name,
        vocab=blueprint.model.vocab,
        max_model_len=plan.max_model_len,
        block_size=plan.common_tokens,
        shares_prefixes=scenario.model.enable_prefix_caching,
        max_queue=scenario.slo.admission.max_queue,
        timeout_ns=blueprint.timeout_ns,
        ships_search=scenario.placement.search == "ship",
        has_values=scenario.model.numerics != "counts",
        attempts=scenario.cluster.attempts,
        judged=told_by(node.members, plan.experts, plan.spares),
        # Of a fold nobody dies, and a stretch may say nothing for seconds.
        silence_ns=None if plan.fold.chips else scenario.cluster.silence_ns,
    )
    today = clock_of(scenario.cluster.world)
    tokenizer = open_tokenizer(blueprint.folder, blueprint.model.vocab, today)
    return Router(
        node,
        worker.name,
        settings,
        tokenizer,
        plan.names("memory"),
        chips_of(plan, node.members),
        journaled=scenario.cluster.keeps_journal,
    )
