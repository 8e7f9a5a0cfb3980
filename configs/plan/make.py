"""A scenario's plan, step by step: sites, their problems, the experts' places, what fits."""

from configs.model_config import ModelConfig
from configs.placing import place_experts
from configs.plan.filling import fill_site
from configs.plan.nodes import Plan
from configs.plan.problems import problems_of
from configs.plan.sites import named, sites_of
from configs.replicating import uneven_shares
from configs.schema import Scenario, ScenarioError


def make_plan(scenario: Scenario, model_config: ModelConfig) -> Plan:
    """The plan, or ScenarioError with everything that makes this cluster impossible."""
    sites = sites_of(scenario)
    problems = problems_of(scenario, sites, model_config)
    max_model_len = scenario.model.max_model_len or model_config.max_context
    shards = named(sites, "experts")
    placed, wrong = place_experts(
        scenario.placement.experts, shards, model_config.num_experts, model_config.gate.num_groups
    )
    problems += wrong

    precision = scenario.model.precision
    kv_block_bytes = scenario.model.block_size * precision.kv_bytes_per_token(model_config)
    servers = named(sites, "memory")
    nodes = []
    for site in sites:
        node, wrong = fill_site(
            site, scenario, model_config, placed, servers, kv_block_bytes, max_model_len
        )
        problems += wrong
        nodes.append(node)
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
        kv_block_bytes=kv_block_bytes,
        shares=uneven_shares(scenario.placement.experts.replicas, placed),
    )
