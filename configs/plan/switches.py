"""Switches that work on what crosses them: who asks for one, and what it needs."""

from configs.plan.sites import Site, named
from configs.schema import Scenario


def switch_problems(scenario: Scenario, sites: tuple[Site, ...]) -> list[str]:
    """Each with what would be right."""
    cluster, there = scenario.cluster, named(sites, "switch")
    problems = [
        f"cluster.nodes.{name}.workers: names switch, and there is no cluster.network, whose "
        "switch it would be: add one, as network: {type: switch}, or leave the group out"
        for name, group in cluster.nodes.items()
        if group.is_switch and cluster.network is None
    ]
    if scenario.placement.experts.mode == "ship":
        problems += [
            f"{key}: is 'in_network', and placement.experts.mode 'ship': no token leaves its chip; "
            "make it 'direct', or the mode near"
            for key in keys_in_network(scenario)
            if key.startswith("placement.experts")
        ]
    if not there:
        problems += [
            f"{key}: is 'in_network', and no node works on what crosses it: add a group, e.g. "
            "switch: {workers: [switch], device: host-cpu, link: nvlink5}, or make it 'direct'"
            for key in keys_in_network(scenario)
        ]
    return problems


def keys_in_network(scenario: Scenario) -> list[str]:
    """What a scenario lets switches do."""
    placement = scenario.placement
    asked = {
        "placement.collectives.all_reduce": placement.collectives.all_reduce,
        "placement.experts.dispatch": placement.experts.dispatch,
        "placement.experts.combine": placement.experts.combine,
    }
    return [key for key, how in asked.items() if how == "in_network"]
