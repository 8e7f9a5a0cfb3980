"""Faults of links that wait for a message: they stand from the instant on at which it is sent."""

from typing import Any

import pytest

from tests.cluster.worlds.faulty import NUM, all_end_well_or_clearly, calm, outcome
from tests.cluster.worlds.test_fault_events import watched

CUT: dict[str, Any] = {"type": "drop", "source": "decode-0", "destination": "experts-0"}


def test_a_rule_stands_from_the_message_on_for_its_duration() -> None:
    """What sets it off is on its way already; all between the same ends for 100 us is not."""
    event = {"kind": "dispatch", "nth": 3, "request": "r0", "layer": 2}
    at_ns, _ = watched({"event": event})
    found = outcome({**CUT, "event": event, "duration": "100 us"})
    assert found.told == [(at_ns, "links", "fault-0: drop begins")]
    assert [one.code for one in found.heard] == [""] * NUM
    all_end_well_or_clearly(found)

    def came(one: Any) -> list[int]:
        here = ("decode-0", "experts-0")
        return [r.at_ns for r in one.deliveries if (r.source, r.destination) == here]

    link_ns = 10_000  # the longest path
    before = [t for t in came(calm()) if t <= at_ns]
    assert [t for t in came(found) if t <= at_ns] == before
    assert not [t for t in came(found) if at_ns + link_ns < t < at_ns + 100_000]
    assert [t for t in came(calm()) if at_ns + link_ns < t < at_ns + 100_000]
    assert [t for t in came(found) if t > at_ns + 100_000]


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "partition", "source": "prefill-0", "duration": "80 us"},
        {"type": "stall", "duration": "50 us"},
        {"type": "bandwidth", "source": "prefill-0", "attributes": {"rate": "1 GB/s"}},
        {"type": "duplicate", "attributes": {"delay": "30 us"}},
        {"type": "corrupt", "toxicity": 0.2},
    ],
)
@pytest.mark.parametrize("point", ["before", "in_flight"])
def test_all_kinds_of_rules_wait_for_a_transfer(rule: dict[str, Any], point: str) -> None:
    found = outcome({**rule, "transfer": {"point": point, "request": "r2"}})
    assert [text for _, _, text in found.told] == [f"fault-0: {rule['type']} begins"]
    all_end_well_or_clearly(found)


def test_a_rule_whose_message_never_comes_changes_nothing() -> None:
    found = outcome({**CUT, "event": {"kind": "dispatch", "request": "nobody"}})
    assert found.told == [] and found.heard == calm().heard
    assert found.deliveries == calm().deliveries


def test_an_incarnation_that_comes_later_has_the_rule_too() -> None:
    """decode-0 dies and is back before its link to experts-0 is whole again."""
    event = {"kind": "dispatch", "layer": 2}
    dies = {"type": "crash", "node": "decode-0", "start": "150 us"}
    found = outcome(
        {**CUT, "event": event, "duration": "800 us"},
        {**dies, "attributes": {"restart_after": "10 us"}},
    )
    begun_ns = found.told[0][0]
    here = ("decode-0", "experts-0")
    came = [r.at_ns for r in found.deliveries if (r.source, r.destination) == here]
    assert not [at_ns for at_ns in came if begun_ns + 10_000 < at_ns < begun_ns + 800_000]
    all_end_well_or_clearly(found)
