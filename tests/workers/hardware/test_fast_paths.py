"""The native solver beside the Python one: the same ends, the same sums."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import paths as native
from workers.hardware.sharing.fast_paths import FastPaths, ManyPaths, make_paths
from workers.hardware.sharing.hops import PathFlow
from workers.hardware.sharing.paths import Paths

pytestmark = pytest.mark.skipif(not native.available, reason="the native library is not built")

RATES = {"a": 10**9, "b": 3 * 10**8, "c": 50 * 10**9, "d": 7_000, "e": 10**9}
PATHS = st.lists(st.sampled_from(sorted(RATES)), min_size=1, max_size=4, unique=True).map(tuple)
JOIN = st.tuples(
    st.just("join"),
    st.integers(0, 3) | st.integers(0, 10**6),
    PATHS,
    st.integers(0, 10**7),
    st.none() | st.sampled_from([10**8, 5_000]),
    st.integers(1, 4),
    st.just(0),
)
RANKED = JOIN.map(lambda join: join[:-1]).flatmap(
    lambda join: st.integers(0, 3).map(lambda rank: (*join, rank))
)
LEAVE = st.tuples(st.just("leave"), st.integers(0, 10**5), st.integers(0, 30))


def play(paths: ManyPaths, plan: list[Any]) -> list[Any]:
    """What comes of it: every end, every next one, and what each resource did."""
    flows: list[PathFlow] = []
    told: list[Any] = []
    now_ns = 0

    def go(to_ns: int) -> None:
        ended = paths.advance(to_ns)
        told.extend((flows.index(flow), flow.end_ns) for flow in ended)

    for what, gap_ns, *of in plan:
        now_ns += gap_ns
        go(now_ns)
        if what == "join":
            path, amount, limit, weight, rank = of
            flows.append(PathFlow(lambda end_ns: None, amount, path, limit, weight, rank))
            paths.join(now_ns, flows[-1])
        elif of[0] < len(flows):
            paths.leave(now_ns, flows[of[0]])
            told.append(paths.next_end_ns)
    while (end_ns := paths.next_end_ns) is not None:
        go(end_ns)
    names = sorted(RATES)
    told += [(paths.busy_ns(n), paths.served(n), paths.peak(n), paths.num_flows(n)) for n in names]
    return told


@settings(max_examples=150)
@given(st.lists(JOIN | LEAVE, max_size=30))
def test_both_name_the_same_ends(plan: list[Any]) -> None:
    assert play(FastPaths(RATES), plan) == play(Paths(RATES), plan)


@settings(max_examples=150)
@given(st.lists(RANKED | LEAVE, max_size=30))
def test_so_they_do_where_some_go_first(plan: list[Any]) -> None:
    assert play(FastPaths(RATES), plan) == play(Paths(RATES), plan)


def test_who_goes_first_by_hand() -> None:
    """Two of rank 0 share 1 unit a ns; one of rank 1 has nothing until one is at its end."""
    paths, ends = make_paths(), list[int]()
    assert isinstance(paths, FastPaths)
    paths.add("a", 10**9)
    for amount, limit, rank in ((100, None, 0), (30, 200_000_000, 0), (50, None, 1)):
        paths.join(0, PathFlow(lambda end_ns: None, amount, ("a",), limit, 1, rank))
    # The second has 0.2 until 150; the first 0.8 until 125; then the third 0.8 until the second
    # ends: 20 by 150, and 1 for the other 30.
    while (end_ns := paths.next_end_ns) is not None:
        ends += [end_ns] * len(paths.advance(end_ns))
    assert ends == [125, 150, 180]


def test_a_flow_that_would_never_end_ends_late() -> None:
    """2^48 - 1 units at 1 a second: longer than 62 bits of ns."""
    paths = FastPaths({"slow": 1})
    paths.join(0, PathFlow(lambda end_ns: None, (1 << 48) - 1, ("slow",)))
    assert paths.next_end_ns == 1 << 62


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda shares: shares.add(0), "rate_per_s is 0; it must be from 1"),
        (lambda shares: shares.way([]), "hops is empty"),
        (lambda shares: shares.way([0, 7]), "hops has 7; there are 1"),
        (lambda shares: shares.way([0, 0]), "hops has 0 twice"),
        (lambda shares: shares.join(0, 1, 3), "way is 3"),
        (lambda shares: shares.join(0, 1 << 48, 0), "amount is 281474976710656"),
        (lambda shares: shares.join(-1, 1, 0), "now_ns is -1"),
        (lambda shares: shares.join(0, 1, 0, 0), "limit_per_s is 0"),
        (lambda shares: shares.leave(0, 5), "flow is 5, which has ended or left"),
        (lambda shares: shares.busy_ns(9), "hop is 9"),
    ],
)
def test_what_is_none_is_refused(call: Any, words: str) -> None:
    shares = native.Shares()
    shares.way([shares.add(1)])
    with pytest.raises(ValueError, match=words):
        call(shares)
