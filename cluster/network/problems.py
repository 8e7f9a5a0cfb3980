"""Networks that cannot be, or cannot be here: refused before anything starts."""

from cluster.network.build import Network, check_connected, make_network
from cluster.network.errors import NetworkProblem, NodeProblem
from configs.schema import Scenario, ScenarioError
from configs.schema.cluster import ClusterSection
from kernels.paths import RATE_MAX

KEY = "cluster.network"


def check_network(scenario: Scenario) -> None:
    """Raises ScenarioError naming every problem."""
    cluster = scenario.cluster
    section = cluster.network
    if section is None:
        return
    problems = list[str]()
    if not cluster.emulation:
        problems.append(
            f"{KEY}: is given and cluster.emulation is off: nothing crosses it; leave one out"
        )
    problems += [
        f"cluster.nodes.{name}.link.sharing: is {group.link.sharing!r}, and {KEY}.sharing is "
        f"{section.sharing!r}: a message shares all that it crosses alike; set both to one"
        for name, group in cluster.nodes.items()
        if group.link.sharing != section.sharing
    ]
    if section.sharing == "fair":
        problems += _too_wide(cluster)
    try:
        network = make_network(section, cluster)
        if section.type == "given":
            nodes = [n for name, g in cluster.nodes.items() for n in g.node_names(name)]
            check_connected(network, nodes)
    except NodeProblem as problem:
        problems.append(f"cluster.nodes.{problem}")
    except NetworkProblem as problem:
        problems.append(f"{KEY}.{problem}")
    if problems:
        raise ScenarioError(f"scenario {scenario.name} has a network that cannot be:", problems)


def _too_wide(cluster: ClusterSection) -> list[str]:
    """Keys of bandwidths beyond what shares are found for."""
    section = cluster.network
    assert section is not None, "whoever asks has one"
    rates = {
        f"cluster.nodes.{n}.link.bandwidth": g.link.bytes_per_s for n, g in cluster.nodes.items()
    }
    for key, link in (
        ("link", section.link),
        ("global_link", section.global_link),
        ("server_link", section.server_link),
    ):
        if link is not None:
            rates[f"{KEY}.{key}.bandwidth"] = link.bytes_per_s
    rates[f"{KEY}.switch_bandwidth"] = section.switch_bytes_per_s or 0
    for i, one in enumerate(section.links):
        rates[f"{KEY}.links.{i}.bandwidth"] = one.bytes_per_s or 0
    return [
        f"{key}: is {rate} B/s: links that are shared fairly over a network have at most 1 PB/s"
        for key, rate in rates.items()
        if rate > RATE_MAX
    ]


def network_of(scenario: Scenario) -> Network | None:
    """Of a scenario that was checked."""
    section = scenario.cluster.network
    return None if section is None else make_network(section, scenario.cluster)
