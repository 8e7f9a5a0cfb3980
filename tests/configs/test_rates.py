"""No rate is nothing: neither of a device, a tier, an engine, a resource, a link nor of a rule."""

import pytest

from configs.schema import ScenarioError, load_scenario

DDR = {
    "capacity": "1 GB", "write": "1 GB/s", "read_latency": "0 ns", "write_latency": "0 ns",
    "page": "64 B", "queue_depth": 1, "read_energy": "0 pJ/bit", "write_energy": "0 pJ/bit",
}  # fmt: skip
# Each rate and efficiency that a device or a link has: what rounds to nothing would be infinitely
# fast. The last is the product of two values of which each may be.
TOO_SLOW = [
    (
        "device.compute.bf16",
        "0 FLOP/s",
        ": '0 FLOP/s' is too little: a compute rate is at least 1 k",
    ),
    ("device.compute_efficiency", 0, ": 0.0 is no efficiency: it is"),
    ("device.compute_efficiency", "1e-11 %", ": 1e-13 is no efficiency: it is the share of a peak"),
    ("device.compute_efficiency", float("nan"), ": is nan: input should be a finite number"),
    ("device.tiers.hbm.read", "0 GB/s", ": '0 GB/s' is too little: a bandwidth is at least 1 kB/s"),
    ("device.tiers.hbm.write", "999 B/s", ": '999 B/s' is too little"),
    ("device.tiers.hbm.efficiency", 1e-13, ": 1e-13 is no efficiency: it is the share of a peak"),
    ("device.engines.pnm", {"compute": {"int8": "1 FLOP/s"}}, ".compute.int8: '1 FLOP/s' is too"),
    (
        "device.engines.pnm",
        {"compute": {"int8": "1 TFLOP/s"}, "compute_efficiency": 1e-13},
        ".compute_efficiency: 1e-13 is no efficiency",
    ),
    ("device.resources.planes", {"rate": 0}, ".rate: is 0: input should be greater than or equal"),
    ("device.resources.planes", {"rate": 1e-13}, ".rate: is 1e-13: input should be greater than"),
    ("device.resources.planes", {"rate": float("inf")}, ".rate: is inf: input should be a finite"),
    ("link.bandwidth", "0 GB/s", ": '0 GB/s' is too little: a bandwidth is at least 1 kB/s"),
    (
        "device.tiers.ddr",
        {**DDR, "read": "2 kB/s", "efficiency": "1 %"},
        ": read is 2 kB/s and efficiency 0.01: long streams reach 20 B/s, and it must be at least",
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), TOO_SLOW)
def test_a_rate_that_is_next_to_nothing_is_refused(key: str, value: object, message: str) -> None:
    """By its key, with its value and with what would be right."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario("demo", {f"cluster.nodes.decode.{key}": value})
    (problem,) = caught.value.problems
    assert f"cluster.nodes.decode.{key}{message}" in problem


def test_a_rule_narrows_a_link_and_does_not_free_it() -> None:
    fault = {"type": "bandwidth", "attributes": {"rate": "0 GB/s"}}
    with pytest.raises(ScenarioError, match=r"faults\.0\.attributes\.rate: '0 GB/s' is too little"):
        load_scenario("demo", {"faults": [fault]})
