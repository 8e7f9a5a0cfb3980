"""A 504 speaks in seconds."""

from cluster.api.deadlines import too_late


def test_the_time_is_that_from_arrival_to_deadline() -> None:
    """Of a minute and a half that began 7 s after the cluster did; and of 250 ms."""
    text = too_late(7 * 10**9, 97 * 10**9).message
    assert text == "no complete answer within 90 s of the cluster's time (slo.deadline)"
    assert "within 0.25 s" in too_late(10**9, 1_250_000_000).message
    assert too_late(None, 5).message == "the deadline passed before the answer was complete"
