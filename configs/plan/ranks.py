"""Chips of several ranks: who holds what, and what such chips are not combined with."""

from collections.abc import Mapping

from configs.model_config import ModelConfig
from configs.parts import Part, Ranks, parts_of
from configs.plan.sites import Site
from configs.schema import CHIP_ROLES, NodeGroup, Scenario


def ranks_of(
    sites: tuple[Site, ...], scenario: Scenario, config: ModelConfig
) -> tuple[dict[str, Ranks], list[str]]:
    """(chip -> its ranks, problems); with a problem the chips of that group have one rank each."""
    whole = Part(0, config.num_layers)
    parts, problems = dict[str, tuple[Part, ...]](), list[str]()
    for name, group in scenario.cluster.nodes.items():
        degrees = group.tensor_parallel_size, group.pipeline_parallel_size
        if config.has_states and group.pipeline_parallel_size > 1:
            continue  # refused (`configs.plan.states`): a stage may keep no keys at all
        try:
            how = group.pipeline_layers, group.decode_context_parallel_size
            parts[name] = parts_of(config, *degrees, *how)
        except ValueError as error:
            problems.append(f"cluster.nodes.{name}.{error}")
    ranks = {
        worker: Ranks(1, (worker,), (whole,))
        for site in sites
        for worker, role in site.workers
        if role in CHIP_ROLES
    }
    for site in sites:
        if site.chip and site.group_name in parts:
            tensor = site.group.tensor_parallel_size
            names = _in_order(site.group, site.chip)
            ranks[site.chip] = Ranks(tensor, names, parts[site.group_name])
    return ranks, problems


def _in_order(group: NodeGroup, chip: str) -> tuple[str, ...]:
    """A chip's workers by the numbers of their ranks."""
    leader, *others = group.rank_names(chip)
    others.insert(group.num_ranks - group.tensor_parallel_size, leader)
    return tuple(others)


def part_of(site: Site, ranks: Mapping[str, Ranks], config: ModelConfig) -> Part:
    """What each chip, or the rank of one, on a node holds."""
    found = ranks.get(site.chip)
    if found is None or not found.is_split:
        return Part(0, config.num_layers)
    return found.parts[site.rank]


def split_problems(scenario: Scenario) -> list[str]:
    """What a cluster with a chip of several ranks has not, each with what would be right."""
    split = [name for name, group in scenario.cluster.nodes.items() if group.num_ranks > 1]
    if not split:
        return []
    placement, precision = scenario.placement, scenario.model.precision
    why = f"and chips of cluster.nodes.{split[0]} have several ranks"
    found = {
        "placement.kv_pool: is true": placement.kv_pool,
        "placement.kv_offload: is given": placement.kv_offload is not None,
        "placement.kv_near: is given": placement.kv_near is not None,
        "placement.experts_prefetch: is true": placement.experts_prefetch,
    }
    problems = [
        f"{what}, {why}, which cannot be combined yet: leave it out, or make "
        "tensor_parallel_size and pipeline_parallel_size 1"
        for what, is_there in found.items()
        if is_there
    ]
    if placement.experts.mode == "ship":
        problems.append(
            f"placement.experts.mode: is 'ship', {why}, which dispatch tokens: make the mode near"
        )
    if scenario.model.numerics == "real" and not precision.exact:
        problems.append(
            f"model.dtype: is {precision}, {why}, whose sums of real numbers are exact mode's: set "
            "dtype: fp32, or numerics: digest"
        )
    return problems
