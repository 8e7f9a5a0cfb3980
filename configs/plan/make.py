"""A scenario's plan, step by step: sites, their problems, the experts' places, what fits."""

from collections.abc import Callable

from configs.model_config import ModelConfig
from configs.placing import place_experts
from configs.plan.chips import block_bytes
from configs.plan.filling import fill_site
from configs.plan.fold import fold_of
from configs.plan.nodes import NodePlan, PartPlan, Plan
from configs.plan.problems import problems_of
from configs.plan.ranks import part_of, ranks_of
from configs.plan.sites import Site, named, sites_of
from configs.plan.spares import spare_experts, spare_problems, spares_of
from configs.plan.switches import switch_problems
from configs.replicating import uneven_shares
from configs.schema import Scenario, ScenarioError


def make_plan(scenario: Scenario, model_config: ModelConfig) -> Plan:
    """The plan, or ScenarioError with everything that makes this cluster impossible."""
    sites = sites_of(scenario)
    problems = problems_of(scenario, sites, model_config)
    problems += [*switch_problems(scenario, sites), *spare_problems(scenario)]
    max_model_len = scenario.model.max_model_len or model_config.max_context
    ranks, wrong = ranks_of(sites, scenario, model_config)
    problems += wrong
    shards = named(sites, "experts")
    placed, wrong = place_experts(
        scenario.placement.experts, shards, model_config.num_experts, model_config.gate.num_groups
    )
    problems += wrong

    servers, spares = named(sites, "memory"), spares_of(sites)
    held = {**placed, **spare_experts(spares, placed)}

    def fill(site: Site, of: Scenario) -> tuple[NodePlan, list[str]]:
        part = part_of(site, ranks, model_config)
        config = part.of(model_config)
        return fill_site(
            site, of.of_group(site.group_name), config, held, servers, part, max_model_len
        )

    nodes, wrong = _filled(sites, scenario, fill)
    fold, more = fold_of(scenario, tuple(nodes), model_config.has_states)
    problems += wrong + more
    if problems:
        unique = list(dict.fromkeys(problems))  # nodes of one group have the same problem
        title = f"scenario {scenario.name} cannot stand: {len(unique)} problem(s)"
        raise ScenarioError(title, unique)
    return Plan(
        nodes=tuple(nodes),
        experts={
            expert: tuple(shard for shard in shards if expert in placed[shard])
            for expert in range(model_config.num_experts)
        },
        directory={name: site.name for site in sites for name, _ in site.workers},
        max_model_len=max_model_len,
        kv_block_bytes=block_bytes(scenario, model_config),
        ranks=ranks,
        shares=uneven_shares(scenario.placement.experts.replicas, placed),
        fold=fold,
        spares=spares,
    )


Fill = Callable[[Site, Scenario], tuple[NodePlan, list[str]]]


def _filled(
    sites: tuple[Site, ...], scenario: Scenario, fill: Fill
) -> tuple[list[NodePlan], list[str]]:
    """Every node, and what is wrong. All ranks of a chip have as many KV blocks as the one that has
    room for the fewest: its blocks are the same everywhere.
    """
    first = [fill(site, scenario) for site in sites]
    least: dict[str, int] = {}
    for site, (node, _) in zip(sites, first, strict=True):
        if site.chip:
            blocks = _kv_blocks(node)
            least[site.chip] = min(blocks, least.get(site.chip, blocks))
    nodes, problems = list[NodePlan](), list[str]()
    for site, filled in zip(sites, first, strict=True):
        node, wrong = filled
        if site.chip and _kv_blocks(node) > least[site.chip] > 0:
            model = scenario.model.model_copy(update={"num_kv_blocks": least[site.chip]})
            node, wrong = fill(site, scenario.model_copy(update={"model": model}))
        nodes.append(node)
        problems += wrong
    return nodes, problems


def _kv_blocks(node: NodePlan) -> int:
    """Of the rank on a node that has one."""
    (worker,) = node.workers
    assert isinstance(worker, PartPlan), "a rank stands alone"
    return worker.num_kv_blocks
