"""Networks of bare nodes to reckon with by hand: 1 byte a ns and 100 ns an inner link."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from cluster.network.build import Network, make_network
from configs.schema.cluster import ClusterSection
from configs.schema.network import NetworkSection

INNER = {"name": "inner", "latency": "100 ns", "bandwidth": "1 GB/s", "energy": "1 pJ/bit"}
OWN = {"name": "own", "latency": "1 us", "bandwidth": "1 GB/s"}


def network(num_nodes: int, **keys: Any) -> Network:
    """Over nodes n-0, n-1, ...; all but a switch have the inner links above."""
    if keys["type"] != "switch":
        keys = {"link": INNER} | keys
    cluster = ClusterSection.model_validate(
        {"nodes": {"n": {"workers": ["chip"], "count": num_nodes, "device": "h100-sxm",
                         "link": OWN}}},
        context={"text": True},
    )  # fmt: skip
    return make_network(NetworkSection.model_validate(keys, context={"text": True}), cluster)


def names(num_nodes: int) -> list[str]:
    return [f"n-{i}" for i in range(num_nodes)]


def num_hops(laid: Network, nodes: Sequence[str]) -> dict[tuple[str, str], int]:
    """Inner links from each node to each other."""
    return {(a, b): len(laid.paths(a, b)[0]) for a, b in product(nodes, nodes) if a != b}
