"""What a run says of its components' time and energy, by hand."""

from cluster.reports.utilisation import utilisation, utilisation_lines
from tests.cluster.reports.energy.readings import reading
from workers.hardware.usage import Usage

BUSY = {"hbf.read": 100, "compute.fp32": 500, "scalar": 0, "link.out": 0, "link.in": 50}
TAKEN = {**BUSY, "hbf.read": 400}
USAGE = {"a": Usage(1_000, BUSY, TAKEN, {}, {})}
DYNAMIC = {
    "hbf.read": {"decode": 1.0, "prefill": 2.0},
    "hbf.read.channel": {"decode": 0.5},
    "link": {"decode": 4.0},
}
READINGS = {"a": reading(DYNAMIC, 0.0, [])}


def test_each_component_s_times_add_up_to_the_span_and_its_parts_energy_is_its() -> None:
    found = utilisation(USAGE, READINGS)
    assert found["a"]["hbf.read"] == {
        "busy_ns": 100, "waiting_ns": 300, "idle_ns": 600, "span_ns": 1_000,
        "utilisation": 0.1, "joules": 3.5,
    }  # fmt: skip
    assert list(found["a"]) == ["hbf.read", "compute.fp32", "link.in"], "of whoever was asked"
    assert found["a"]["link.in"]["joules"] == 0, "a link's energy is its sender's"


def test_a_link_that_sent_has_its_energy() -> None:
    sent = {"a": Usage(1_000, {"link.out": 10}, {"link.out": 10}, {}, {})}
    assert utilisation(sent, READINGS)["a"]["link.out"]["joules"] == 4


def test_the_busiest_come_first() -> None:
    assert utilisation_lines(utilisation(USAGE, READINGS)) == [
        "busiest of 3 components: a compute.fp32 50.0%, a hbf.read 10.0% (waiting 30.0%), "
        "a link.in 5.0%"
    ]
    assert utilisation_lines({}) == []
