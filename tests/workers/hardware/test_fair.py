"""Fair shares equal an exact brute-force solution, whatever joins and leaves, and when."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.hardware.fluid import Wish, ends_of
from workers.hardware.flows import Policy
from workers.hardware.sharing.base import Flow
from workers.hardware.sharing.fair import GRAINS, Fair, FairFlow, grains
from workers.hardware.sharing.hops import PathFlow
from workers.hardware.sharing.paths import Paths

F = TypeVar("F", bound=Flow)

NANO = Fraction(1, 10**9)
ONE = {"r": Fraction(1)}  # a resource's whole time
HOPS = {"a": 10**9, "b": 3 * 10**8, "c": 7 * 10**8, "d": 10**6}  # units a second


def told(end_ns: int) -> None:
    """Policies tell nobody."""
    raise AssertionError("a policy knows no callbacks")


def play(
    policy: Policy[F], wishes: Sequence[Wish], make: Callable[[Wish], F]
) -> tuple[dict[int, int], int]:
    """Let flows join and leave as wished; returns (wish -> its end, when nothing was left).

    At each event the policy's word for the next end is kept, or was revised because somebody came
    or went; never does it end a flow earlier than it last said.
    """
    events = [(w.joins_ns, 1, i) for i, w in enumerate(wishes)]
    events += [(w.leaves_ns, 0, i) for i, w in enumerate(wishes) if w.leaves_ns is not None]
    flows: dict[int, F] = {}
    number: dict[int, int] = {}
    ends: dict[int, int] = {}
    now_ns = 0

    def advance(to_ns: int) -> None:
        while (promised_ns := policy.next_end_ns) is not None and promised_ns <= to_ns:
            assert policy.advance(promised_ns - 1) == [], "ended before the promised end"
            ended = policy.advance(promised_ns)
            assert ended, "promised an end at which nothing ended"
            for flow in ended:
                assert flow.end_ns == promised_ns
                ends[number[id(flow)]] = promised_ns
        assert policy.advance(to_ns) == []

    for at_ns, is_join, i in sorted(events):
        advance(at_ns)
        if is_join:
            flows[i] = make(wishes[i])
            number[id(flows[i])] = i
            policy.join(at_ns, flows[i])
        elif i in flows:
            policy.leave(at_ns, flows[i])
        now_ns = at_ns
    while policy.next_end_ns is not None:
        now_ns = policy.next_end_ns
        advance(now_ns)
    return ends, now_ns


def wishes(paths: st.SearchStrategy[tuple[str, ...]], limits: list[Fraction]) -> st.SearchStrategy:
    def later(wish: Wish, stay_ns: int | None) -> Wish:
        leaves_ns = None if stay_ns is None else wish.joins_ns + stay_ns
        return Wish(wish.joins_ns, wish.amount, wish.path, wish.limit, wish.weight, leaves_ns)

    wish = st.builds(
        Wish,
        joins_ns=st.integers(0, 3_000),
        amount=st.integers(0, 2_000).map(Fraction),
        path=paths,
        limit=st.none() | st.sampled_from(limits),
        weight=st.integers(1, 4),
    )
    stay = st.none() | st.integers(1, 4_000)
    return st.lists(st.builds(later, wish, stay), max_size=14)


# Shares of the whole; not all of them are whole grains of what others leave.
SHARES = [Fraction(GRAINS // k, GRAINS) for k in (1, 2, 3, 7, 19, 50)]


@settings(max_examples=200)
@given(
    wishes(st.just(("r",)), SHARES), st.sampled_from([10**9, 3 * 10**8, 3_350_000_000, 8 * 10**12])
)
def test_one_resource_as_brute_force_has_it(given: list[Wish], rate_per_s: int) -> None:
    """Amounts at any rate: the policy shares time, and so does the brute-force solution."""

    def make(wish: Wish) -> FairFlow:
        limit = None if wish.limit is None else int(wish.limit * GRAINS)
        return FairFlow(told, grains(int(wish.amount), rate_per_s), limit, wish.weight)

    fair = Fair()
    ends, now_ns = play(fair, given, make)
    timed = [
        Wish(w.joins_ns, w.amount / (rate_per_s * NANO), w.path, w.limit, w.weight, w.leaves_ns)
        for w in given
    ]
    expected, served = ends_of(timed, ONE)
    assert ends == expected
    assert abs(fair.busy_ns(now_ns) - served["r"]) < 2, "what was served is what was asked for"
    assert fair.busy_ns(now_ns) <= now_ns


@settings(max_examples=200)
@given(
    wishes(
        st.lists(st.sampled_from(sorted(HOPS)), min_size=1, max_size=4, unique=True).map(tuple),
        [Fraction(rate) * NANO for rate in (10**9, 10**8, 7 * 10**6, 10**5)],
    )
)
def test_several_resources_as_brute_force_has_it(given: list[Wish]) -> None:
    def make(wish: Wish) -> PathFlow:
        limit_per_s = None if wish.limit is None else int(wish.limit / NANO)
        return PathFlow(told, int(wish.amount), wish.path, limit_per_s, wish.weight)

    paths = Paths(HOPS)
    ends, now_ns = play(paths, given, make)
    rates = {name: rate * NANO for name, rate in HOPS.items()}
    expected, served = ends_of(given, rates)
    assert ends == expected
    for name, rate in rates.items():
        assert abs(paths.busy_ns(name) - served[name] / rate) < 2
        assert paths.busy_ns(name) <= now_ns


@settings(max_examples=100)
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=60), st.integers(0, 500))
def test_one_hop_of_a_path_is_shared_as_one_resource(amounts: list[int], gap_ns: int) -> None:
    """Two policies, two algorithms, more flows at once than there are whole grains for."""
    at = [gap_ns * i // len(amounts) for i in range(len(amounts))]
    given = [Wish(t, Fraction(amount), ("a",)) for t, amount in zip(at, amounts, strict=True)]
    one, _ = play(Fair(), given, lambda w: FairFlow(told, grains(int(w.amount), 10**9)))
    many, _ = play(Paths({"a": 10**9}), given, lambda w: PathFlow(told, int(w.amount), w.path))
    assert one == many


# -- by hand ---------------------------------------------------------------------------------------


def test_a_second_flow_halves_the_first_and_its_end_speeds_it_up() -> None:
    """1000 alone until 400; then halves; the second has its 300 at 1000; 300 more alone: 1300."""
    fair = Fair()
    first, second = (FairFlow(told, amount * GRAINS) for amount in (1_000, 300))
    fair.join(0, first)
    assert fair.next_end_ns == 1_000
    assert fair.advance(400) == []
    fair.join(400, second)
    assert fair.next_end_ns == 1_000, "the second one's: the first is promised 1600 now"
    assert fair.advance(1_000) == [second]
    assert fair.next_end_ns == 1_300
    assert fair.advance(5_000) == [first]
    assert (first.end_ns, second.end_ns) == (1_300, 1_000)
    assert fair.next_end_ns is None
    assert fair.busy_ns(5_000) == 1_300


def test_who_leaves_makes_room_and_is_told_nothing() -> None:
    """Both at half speed for 200; the second leaves; 900 of the first are left: 1100."""
    fair = Fair()
    first, second = FairFlow(told, 1_000 * GRAINS), FairFlow(told, 1_000 * GRAINS)
    fair.join(0, first)
    fair.join(0, second)
    fair.advance(200)
    fair.leave(200, second)
    fair.leave(200, second)
    assert fair.advance(10_000) == [first] and first.end_ns == 1_100
    assert second.end_ns is None
    fair.leave(10_000, first)
    assert fair.busy_ns(10_000) == 1_100


def test_weights_and_limits() -> None:
    """A tenth for the limited one; of the rest, a third and two thirds: 0.1, 0.3, 0.6."""
    fair = Fair()
    flows = [
        FairFlow(told, 100 * GRAINS, limit=GRAINS // 10),
        FairFlow(told, 300 * GRAINS, limit=GRAINS * 2),
        FairFlow(told, 600 * GRAINS, weight=2),
    ]
    for flow in flows:
        fair.join(0, flow)
    assert fair.advance(1_000) == flows and fair.next_end_ns is None


def test_who_joins_in_the_past_joins_now() -> None:
    """A late host in a live world: what was shared until 500 is not shared again."""
    fair, paths = Fair(), Paths({"a": 10**9})
    assert fair.advance(500) == [] and paths.advance(500) == []
    fair.join(300, FairFlow(told, 100 * GRAINS))
    paths.join(300, PathFlow(told, 100, ("a",)))
    assert fair.next_end_ns == paths.next_end_ns == 600


def test_joining_and_leaving_take_the_time_along() -> None:
    """1000 alone until 400, then halves. The second leaves at 600 with 100 had: 500 are left."""
    fair = Fair()
    first, second = (FairFlow(told, 1_000 * GRAINS) for _ in range(2))
    fair.join(0, first)
    fair.join(400, second)
    assert fair.next_end_ns == 400 + 2 * 600
    fair.leave(600, second)
    assert fair.next_end_ns == 600 + 500
    assert fair.busy_ns(600) == 600


def test_equal_shares_end_together_however_many() -> None:
    """Round ends stay round: n flows of 1000 at a rate of 1 end at n x 1000, and not 1 ns later."""
    for num in (3, 7, 32, 37, 100, 999):
        fair, paths = Fair(), Paths({"a": 10**9})
        for _ in range(num):
            fair.join(0, FairFlow(told, 1_000 * GRAINS))
            paths.join(0, PathFlow(told, 1_000, ("a",)))
        assert fair.next_end_ns == paths.next_end_ns == num * 1_000
        assert len(fair.advance(num * 1_000)) == len(paths.advance(num * 1_000)) == num


def test_flows_that_meet_nobody_leave_each_other_alone() -> None:
    """A chain a-b, b-c is one party, d another; the end of one changes nothing for the other."""
    paths = Paths({"a": 10**9, "b": 10**9, "c": 10**9, "d": 10**9})
    chain = [PathFlow(told, 1_000, ("a", "b")), PathFlow(told, 1_000, ("b", "c"))]
    alone = PathFlow(told, 700, ("d",))
    for flow in (*chain, alone):
        paths.join(0, flow)
    assert paths.advance(700) == [alone]
    assert paths.advance(2_000) == chain and chain[0].end_ns == 2_000


@pytest.mark.parametrize("num", [1, 5])
def test_nothing_takes_no_time(num: int) -> None:
    fair = Fair()
    flows = [FairFlow(told, 0) for _ in range(num)]
    for flow in flows:
        fair.join(7, flow)
    assert fair.next_end_ns == 7 and fair.advance(7) == flows
