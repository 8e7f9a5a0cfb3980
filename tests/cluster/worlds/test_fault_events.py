"""Faults of nodes that wait for a message, or for a point of a KV transfer: exactly then."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.worlds.faulty import NUM, Outcome, all_end_well_or_clearly, calm, outcome


def watched(when: Mapping[str, Any]) -> tuple[int, Outcome]:
    """When it happens, by a fault that disturbs nobody."""
    found = outcome({"type": "disk_full", "node": "hbf-0", "duration": "1 us", **when})
    return found.told[0][0], found


def test_an_event_is_the_nth_message_of_a_kind_of_a_request_and_of_a_layer() -> None:
    """Of r1 there are two dispatches of a layer in prefill, one a shard; the third of layer 2 is of
    its second token, on decode-1, which has no other request then. What arrives there was sent less
    than 3 us before.
    """
    event = {"kind": "dispatch", "nth": 3, "request": "r1", "layer": 2}
    at_ns, _ = watched({"event": event})
    of_token = [r for r in calm().deliveries if r.kind == "dispatch" and r.source == "decode-1"]
    layers = list(dict.fromkeys(r.at_ns for r in of_token))
    assert 0 < layers[2] - at_ns < 3_000


def test_a_reply_is_any_answer() -> None:
    first_ns, _ = watched({"event": {"kind": "reply"}})
    assert first_ns == watched({"event": {"kind": "accepted"}})[0]


def test_an_event_that_never_comes_is_no_fault() -> None:
    event = {"kind": "dispatch", "request": "nobody"}
    found = outcome({"type": "crash", "node": "router", "event": event})
    assert found.told == [] and found.heard == calm().heard


def points(point: str, nth: int = 1, **more: object) -> dict[str, Any]:
    return {"transfer": {"point": point, "nth": nth, **more}}


def test_the_points_of_a_transfer_are_where_they_say() -> None:
    """before: as prefill is asked for; in_flight: as the blocks are sent; moved: once the chip has
    said that it has them, as the notice is sent.
    """
    before_ns, _ = watched(points("before", request="r2"))
    in_flight_ns, _ = watched(points("in_flight", request="r2"))
    moved_ns, found = watched(points("moved", request="r2"))
    one = calm()
    link_ns = 2_000  # at least: of the demo's links
    prefill, blocks = one.first("prefill", "r2"), one.first("kv_blocks", "r2")
    has_them = next(
        r for r in one.deliveries
        if r.kind == "reply" and r.request_id == "r2" and r.destination == "prefill-0"
        and r.at_ns > blocks.at_ns
    )  # fmt: skip
    assert one.first("reserved", "r2").at_ns <= before_ns < prefill.at_ns
    assert prefill.at_ns < in_flight_ns < blocks.at_ns
    assert moved_ns == has_them.at_ns
    assert in_flight_ns + link_ns < moved_ns
    # The notice is lost once, so the chip hears of it later; and no token changes.
    assert found.first("start", "r2").at_ns > one.first("start", "r2").at_ns
    assert [o.tokens for o in found.heard] == [o.tokens for o in one.heard]


def test_the_nth_transfer_is_the_nth_sequence_that_gets_there() -> None:
    second_ns, _ = watched(points("in_flight", nth=2))
    assert second_ns == watched(points("in_flight", request="r1"))[0]


@pytest.mark.parametrize("point", ["before", "in_flight", "moved"])
@pytest.mark.parametrize("node", ["prefill-0", "decode-0", "router"])
@pytest.mark.parametrize("kind", ["crash", "pause"])
def test_whatever_happens_at_a_point_of_a_transfer_everybody_ends(
    kind: str, node: str, point: str
) -> None:
    when = {"transfer": {"point": point, "request": "r1"}, "type": kind, "node": node}
    if kind == "crash":
        found = outcome({**when, "attributes": {"restart_after": "100 us"}})
    else:
        found = outcome({**when, "duration": "300 us"})
        assert [one.code for one in found.heard] == [""] * NUM
    assert len(found.told) == 2
    all_end_well_or_clearly(found)
