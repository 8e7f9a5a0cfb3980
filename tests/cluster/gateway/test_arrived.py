"""A reader sees each position once and in order, however outputs come."""

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from cluster.api.output import Output
from cluster.gateway.arrived import Arrived


def outputs(sizes: list[int]) -> list[Output]:
    """Of so many tokens each; the last ends the stream, perhaps without a token."""
    made, position = [], 0
    for index, size in enumerate(sizes):
        ids = tuple(range(position, position + size))
        reason = "length" if index == len(sizes) - 1 else ""
        made.append(Output("r", position, ids, "", (), reason))
        position += size
    return made


def seen(arriving: list[Output]) -> list[Output]:
    arrived = Arrived()
    return [one for output in arriving for one in arrived.take(output)]


def test_whatever_overtakes_waits_for_what_is_missing() -> None:
    told = outputs([1, 2, 1, 0])
    for order in permutations(told):
        assert seen(list(order)) == told
    assert seen([told[0], told[2], told[3]]) == told[:1], "1 and 2 are missing"


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_what_is_told_again_is_seen_once(sizes: list[int], random) -> None:
    told = outputs(sizes)
    arriving = told + told
    random.shuffle(arriving)
    assert seen(arriving) == told


def test_an_error_does_not_wait_for_what_may_never_come() -> None:
    told = outputs([1, 2, 1])
    failed = Output("r", 4, finish_reason="error", error={"code": "peer_dead"})
    heard = [told[0], replace(failed, position=1)]
    assert seen([told[0], told[2], failed, told[1]]) == heard, "no position is passed over"


def test_an_error_of_a_router_that_has_forgotten_tokens_ends_the_stream() -> None:
    """Its journal's disk was full when it told the second output: it knows of one token."""
    told = outputs([1, 2, 1])
    failed = Output("r", 1, finish_reason="error", error={"code": "internal_error"})
    assert seen([told[0], told[1], failed]) == [*told[:2], replace(failed, position=3)]
