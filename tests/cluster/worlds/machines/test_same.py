"""A scenario that is put to a cluster which stands."""

import pytest

from cluster.worlds.machines.same import check_same
from configs.schema import load_scenario

STANDING = load_scenario("demo", {"cluster.world": "ray"})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cluster.world": "virtual"},
        {"workload.arrivals.closed.num_requests": 7},
        {"slo.ttft": "1 s"},
        {"cluster.nodes.decode.count": 3},  # it may have been scaled since
    ],
)
def test_who_asks_brings_load_and_promises_of_their_own(changes: dict[str, object]) -> None:
    check_same(STANDING, load_scenario("demo", {"cluster.world": "ray", **changes}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cluster.dilation", 7_000),
        ("cluster.nodes.experts.count", 2),
        ("model.max_num_seqs", 7),
        ("placement.kv_pool", False),
        ("seed", 7),
    ],
)
def test_another_cluster_is_refused_by_the_key(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{key}: is .*{value}.* the cluster that stands has"):
        check_same(STANDING, load_scenario("demo", {key: value}))
