"""What a rule narrows is a link: nodes with links of 1 byte a ns and 1 us on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from tests.workers.bench import Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.wire.message import Message

Sent = tuple[str, str, int, int]  # from, to, at, bytes
Ends = dict[int, int]  # which of them -> when it was delivered
NAMES = ("a", "b", "c", "d")
SHARINGS: tuple[Sharing, ...] = ("fair", "fifo")


@dataclass
class Rule:
    bytes_per_s: int
    aim: Callable[[str, str, Message[Any]], bool] = field(default=lambda *_: True)

    def hits(self, source: str, destination: str, message: Message[Any]) -> bool:
        return self.aim(source, destination, message)


def arrivals(
    sends: Sequence[Sent],
    sharing: Sharing = "fair",
    links: dict[str, LinkSpec] | None = None,
    out: Rule | None = None,
    into: Rule | None = None,
    through_frames: bool = False,
) -> Ends:
    """When each is there, with a rule that narrows ways out, ways in, or both."""

    async def job(bench: Bench) -> Ends:
        seen: Ends = {}
        for name in NAMES:
            bench.port(name).on(
                Parcel, lambda m: seen.update({m.content.body["number"]: bench.clock.now()})
            )
            endpoint = bench.node(name).endpoint
            if out is not None:
                endpoint.egress.narrow.rules["rule"] = out
                endpoint.ingress.narrow.far["rule"] = out
            if into is not None:
                endpoint.ingress.narrow.rules["rule"] = into

        async def send(number: int, source: str, to: str, at: int, num_bytes: int) -> None:
            await bench.clock.wait_until(at)
            await bench.port(source).send(to, Parcel({"number": number}, charged=num_bytes))

        for number, sent in enumerate(sends):
            bench.node(sent[0]).spawn(send(number, *sent), "send")
        await bench.clock.wait_until(10**9)
        for name in NAMES:
            endpoint = bench.node(name).endpoint
            for narrow in (endpoint.egress.narrow, endpoint.ingress.narrow):
                assert all(0 <= busy <= 10**9 for busy in narrow.busy_ns(10**9).values())
        return seen

    specs = {name: make_link(sharing=sharing) for name in NAMES}
    return Bench(*NAMES, links=specs | (links or {}), through_frames=through_frames).run(job)


def to(name: str) -> Callable[..., bool]:
    return lambda source, destination, message: bool(destination == name)


def by(name: str) -> Callable[..., bool]:
    return lambda source, destination, message: bool(source == name)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_a_message_takes_the_narrowed_link_s_time_and_not_both(sharing: Sharing) -> None:
    """3,000 bytes at 0.1 a ns and 1 us; at 1 a ns, which the links have, nothing changes."""
    sends = [("a", "c", 500, 3_000)]
    slow, same = Rule(10**8), Rule(10**9)
    narrower: list[dict[str, Any]] = [{"out": slow}, {"into": slow}, {"out": slow, "into": slow}]
    for ways in narrower:
        assert arrivals(sends, sharing, **ways) == {0: 500 + 1_000 + 30_000}
    for ways in ({**ways, **dict.fromkeys(ways, same)} for ways in narrower):
        assert arrivals(sends, sharing, **ways) == {0: 500 + 1_000 + 3_000}


@pytest.mark.parametrize(("sharing", "first_ns"), [("fair", 41_000), ("fifo", 21_000)])
def test_two_sources_share_what_is_narrowed_before_their_destination(
    sharing: Sharing, first_ns: int
) -> None:
    """2,000 bytes each at 0.1 a ns: 40,000 ns for both; to d the way is as wide as ever."""
    sends = [("a", "c", 0, 2_000), ("b", "c", 0, 2_000), ("b", "d", 50_000, 2_000)]
    ends = arrivals(sends, sharing, into=Rule(10**8, to("c")))
    assert ends == {0: first_ns, 1: 41_000, 2: 53_000}


@pytest.mark.parametrize(("sharing", "first_ns"), [("fair", 41_000), ("fifo", 21_000)])
def test_what_one_source_sends_anywhere_shares_its_narrowed_way_out(
    sharing: Sharing, first_ns: int
) -> None:
    sends = [("a", "c", 0, 2_000), ("a", "d", 0, 2_000), ("b", "c", 50_000, 2_000)]
    ends = arrivals(sends, sharing, out=Rule(10**8, by("a")))
    assert ends == {0: first_ns, 1: 41_000, 2: 53_000}


@pytest.mark.parametrize(("sharing", "second_ns"), [("fair", 3_100), ("fifo", 3_121)])
def test_what_is_not_hit_passes_beside_it(sharing: Sharing, second_ns: int) -> None:
    """100 bytes at 0.01 a ns take 10,000; the other 2,000 leave with them, fairly until 200, and by
    2,100 have all left. In order they leave until 2,100 as well, and go in at the 0.99 that the
    first leaves them, from 1,100 on: 2,020.2.
    """
    small = Rule(10**7, lambda s, d, message: message.charged_bytes == 100)
    ends = arrivals([("a", "c", 0, 100), ("a", "c", 0, 2_000)], sharing, into=small)
    assert ends == {0: 1_000 + 10_000, 1: second_ns}


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize(
    ("rate", "there_ns"), [(5 * 10**8, 2_000), (10**8, 2_000), (10**7, 11_000)]
)
def test_what_starts_slowly_is_narrowed_no_more_than_it_was(
    sharing: Sharing, rate: int, there_ns: int
) -> None:
    """100 bytes with an overhead of 900 ns come at 0.1 a ns, whatever passes half of a link."""
    dear = make_link(sharing=sharing).model_copy(update={"overhead_ns": 900})
    narrower: list[dict[str, Any]] = [{"out": Rule(rate)}, {"into": Rule(rate)}]
    for ways in narrower:
        ends = arrivals([("a", "c", 0, 100)], sharing, {"a": dear}, **ways)
        assert ends == {0: there_ns}


PLANS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from("cd"), st.integers(0, 9_000), st.integers(1, 3_000)
    ),
    min_size=1,
    max_size=10,
)
RATES = st.sampled_from([10**7, 3 * 10**8, 6 * 10**8, 10**9])


@settings(max_examples=60)
@given(plan=PLANS, rate=RATES, sharing=st.sampled_from(SHARINGS))
def test_narrowed_before_its_destination_is_that_link(
    plan: list[Sent], rate: int, sharing: Sharing
) -> None:
    slow = make_link(bytes_per_s=rate, sharing=sharing)
    ruled = arrivals(plan, sharing, into=Rule(rate, to("c")))
    assert ruled == arrivals(plan, sharing, links={"c": slow})


@settings(max_examples=60)
@given(plan=PLANS, rate=RATES, sharing=st.sampled_from(SHARINGS))
def test_narrowed_behind_its_source_is_that_link(
    plan: list[Sent], rate: int, sharing: Sharing
) -> None:
    """In order it is so for one source; of two, who stands first at a wide ingress may differ."""
    if sharing == "fifo":
        plan = [("a", *sent[1:]) for sent in plan]
    slow = make_link(bytes_per_s=rate, sharing=sharing)
    ruled = arrivals(plan, sharing, out=Rule(rate, by("a")))
    assert ruled == arrivals(plan, sharing, links={"a": slow})


@settings(max_examples=60)
@given(plan=PLANS, sharing=st.sampled_from(SHARINGS), rate=st.sampled_from([10**9, 10**10]))
def test_no_narrower_than_the_link_it_changes_nothing(
    plan: list[Sent], sharing: Sharing, rate: int
) -> None:
    links = {"d": make_link(bytes_per_s=2 * 10**8, sharing=sharing)}
    free = arrivals(plan, sharing, links)
    assert arrivals(plan, sharing, links, out=Rule(rate), into=Rule(rate)) == free
    plan = [(source, "d", at, num_bytes) for source, _, at, num_bytes in plan]
    narrow = Rule(2 * 10**8, to("d"))
    assert arrivals(plan, sharing, links, into=narrow) == arrivals(plan, sharing, links)


@settings(max_examples=40)
@given(plan=PLANS, rate=RATES, sharing=st.sampled_from(SHARINGS))
def test_both_ends_say_the_same_where_they_share_no_memory(
    plan: list[Sent], rate: int, sharing: Sharing
) -> None:
    """A rule that hits every other message by its id, over encoded frames and without."""
    odd = Rule(rate, lambda s, d, message: message.message_id % 2 == 1)
    ways: dict[str, Any] = {"out": odd, "into": odd}
    framed = arrivals(plan, sharing, **ways, through_frames=True)
    assert framed == arrivals(plan, sharing, **ways)
