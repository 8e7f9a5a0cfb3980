"""A bandwidth rule is a link: one prefill sends its KV to a decode, and all but links is free."""

from pathlib import Path

import pytest

from cluster.faults.standing import StandingFaults
from configs.schema import load_scenario
from configs.schema.faults import link_faults
from tests.cluster.faults.only_links import RULE, scenario, took_ms
from tests.workers.bench import Bench
from workers.host.rng import Rng


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
@pytest.mark.parametrize(
    "aim", [{}, {"source": "prefill-0"}, {"destination": "decode-0"}, {"kind": "*"}]
)
def test_a_rule_as_wide_as_a_path_changes_nothing(
    aim: dict[str, str], sharing: str, tmp_path: Path
) -> None:
    """10 GB/s, then 1: 3,736,300 bytes at 1 GB/s are 3.7363 ms, with the rule or without."""
    free = took_ms(scenario("10 GB/s", "1 GB/s", sharing=sharing), tmp_path)
    ruled = scenario("10 GB/s", "1 GB/s", {**RULE, **aim}, sharing=sharing)
    assert free == pytest.approx([3.7363], abs=0.001)
    assert took_ms(ruled, tmp_path) == pytest.approx(free, abs=0.001)


@pytest.mark.parametrize(("sharing", "first_ms"), [("fair", 7.4726), ("fifo", 3.7363)])
@pytest.mark.parametrize("aim", [{}, {"destination": "decode-0"}, {"destination": "d-0"}])
def test_two_sources_into_one_narrowed_destination_end_as_over_a_link(
    aim: dict[str, str], sharing: str, first_ms: float, tmp_path: Path
) -> None:
    """Twice 3,736,300 bytes at 1 GB/s: the last is there after 7.4726 ms. (In order a real link's
    first is followed by the second before anything else comes in, so there only the last compares.)
    """
    wide = scenario("100 GB/s", "100 GB/s", {**RULE, **aim}, num=2, sharing=sharing)
    real = scenario("100 GB/s", "1 GB/s", num=2, sharing=sharing)
    ruled = took_ms(wide, tmp_path)
    assert ruled == pytest.approx([first_ms, 7.4726], abs=0.001)
    assert ruled[-1] == pytest.approx(took_ms(real, tmp_path)[-1], abs=0.001)


@pytest.mark.parametrize(
    ("rule", "out", "into", "far"),
    [
        ({}, "ab", "ab", ""),
        ({"source": "a"}, "a", "", "ab"),
        ({"destination": "a"}, "", "a", ""),
        ({"source": "a", "destination": "b"}, "", "b", ""),
    ],
)
def test_a_rule_narrows_the_link_that_it_names_or_all(
    rule: dict[str, str], out: str, into: str, far: str
) -> None:
    faults = [{"type": "drop"}, {"type": "bandwidth", "attributes": {"rate": "1 GB/s"}}]
    loaded = load_scenario("demo", {"faults": faults})
    aimed = loaded.faults[1].model_copy(update=rule)
    loaded = loaded.model_copy(update={"faults": (loaded.faults[0], aimed)})
    bench = Bench("a", "b")
    found = {"out": "", "into": "", "far": ""}
    for name in "ab":
        endpoint = bench.node(name).endpoint
        StandingFaults(endpoint, {"a": "a", "b": "b"}, Rng(0)).become(link_faults(loaded.faults))
        for where, rules in (
            ("out", endpoint.egress.narrow.rules),
            ("into", endpoint.ingress.narrow.rules),
            ("far", endpoint.ingress.narrow.far),
        ):
            if rules:
                assert list(rules) == ["fault-1"]
                found[where] += name
    assert found == {"out": out, "into": into, "far": far}


def test_both_directions_have_a_link_each() -> None:
    """What a sends, and what it is sent: at b each is known by what comes in, and goes out."""
    faults = [{"type": "bandwidth", "direction": "both", "attributes": {"rate": "1 GB/s"}}]
    loaded = load_scenario("demo", {"faults": faults})
    aimed = loaded.faults[0].model_copy(update={"source": "a", "name": "narrow"})
    bench = Bench("a", "b")
    found = {}
    for name in "ab":
        endpoint = bench.node(name).endpoint
        StandingFaults(endpoint, bench.directory, Rng(0)).become(link_faults((aimed,)))
        narrow = (endpoint.egress.narrow.rules, endpoint.ingress.narrow.rules)
        found[name] = tuple(list(rules) for rules in (*narrow, endpoint.ingress.narrow.far))
    assert found["a"] == (["narrow"], ["narrow back"], ["narrow"])
    assert found["b"] == ([], [], ["narrow"])
