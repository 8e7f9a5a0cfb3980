"""Waiting for a credit ends by the call's deadline, and calls whose answer waits for others than
their receiver take none.
"""

from contextlib import suppress

import pytest

from tests.workers.bench import Bench
from tests.workers.wire.calls import assert_idle, double, echo
from tests.workers.wire.parcel import Parcel
from workers.errors import DeadlineExceeded
from workers.wire.calls import Handled
from workers.wire.peer import CREDITS_PER_PEER


def test_who_finds_no_credit_gives_up_at_the_deadline() -> None:
    """256 calls have no answer for 1 ms; the next one may take 10 us, and ends after these."""

    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda message: Handled.LATER)
        port, begun_ns = bench.port("a"), bench.clock.now()
        for _ in range(CREDITS_PER_PEER):
            await port.post("b", Parcel(), deadline_ns=begun_ns + 1_000_000)
        with pytest.raises(DeadlineExceeded, match="parcel found no free credit of b in time"):
            await port.call("b", Parcel(), deadline_ns=begun_ns + 10_000)
        assert bench.clock.now() - begun_ns == 10_000
        for pending in list(bench.node("a").endpoint.reach("b").pending.values()):
            pending.abandon()
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_credit_that_comes_at_the_last_moment_is_not_lost() -> None:
    """It is given in the instant in which its waiter gives up: somebody has it, then nobody."""

    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda message: Handled.LATER)
        port, begun_ns = bench.port("a"), bench.clock.now()
        several = [
            await port.post("b", Parcel(), deadline_ns=begun_ns + 10_000)
            for _ in range(CREDITS_PER_PEER)
        ]
        bench.clock.call_at(begun_ns + 10_000, several[0].abandon)
        with suppress(DeadlineExceeded):
            (await port.post("b", Parcel(), deadline_ns=begun_ns + 10_000)).abandon()
        assert bench.clock.now() - begun_ns == 10_000
        for pending in several[1:]:
            pending.abandon()
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_kind_that_takes_no_credit_passes_when_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def job(bench: Bench) -> None:
        asked = echo(bench, "b")
        monkeypatch.setattr(Parcel, "takes_credit", False)
        peer = bench.node("a").endpoint.reach("b")
        while peer.credits.take():
            continue
        assert await double(bench, 21, within_ns=10_000) == 42 and asked == [21]
        assert peer.credits.taken == CREDITS_PER_PEER, "and gives none back"

    Bench("a", "b").run(job)
