"""Ranks that share no memory: what comes and goes is what it is where they do."""

import gc
import os
import threading

import numpy as np
import pytest

from kernels.all_to_all import (
    RankCutOff,
    RankDead,
    RankRefused,
    TimedOut,
    UcxAllToAll,
)
from kernels.all_to_all.rank import Rank
from kernels.native import ucx
from tests.kernels.all_to_all.ranks import (
    LONG_NS,
    NEEDS_LIBUCX,
    SECRET,
    SHORT_NS,
    far_group,
    for_both,
    geometry,
    group,
    send,
    tokens,
)
from tests.kernels.all_to_all.test_values import exchange
from tests.shared_memory import left_behind, names

pytestmark = [pytest.mark.live, NEEDS_LIBUCX]

FORMATS = [("fp32", "fp64"), ("bf16", "bf16"), ("int8", "int8"), ("int8", "fp32")]


def seen_of(ranks: list, sent: list) -> tuple[list, list]:
    """All that arrives, and all sums."""
    arrivals = []

    def sums_of(rank: int, arrived):
        arrays = [arrived.requests, arrived.positions, arrived.experts, arrived.weights]
        arrivals.append((rank, arrived.source, [a.copy() for a in (*arrays, arrived.rows)]))
        return arrived.floats() * np.float32(rank + 1)

    return arrivals, exchange(ranks, sent, sums_of)


@pytest.mark.parametrize(("there", "back"), FORMATS)
def test_values_are_those_of_shared_memory(rng, there, back):
    sizes = geometry(world=3, send=there, back=back)
    sent = [tokens(rng, sizes, count) for count in (16, 0, 7)]
    with group(sizes) as near, far_group(sizes) as far:
        wanted, found = seen_of(near, sent), seen_of(far, sent)
    assert len(wanted[0]) == len(found[0]) == 9
    for (*who, arrays), (*whom, came) in zip(wanted[0], found[0], strict=True):
        assert who == whom
        assert all(np.array_equal(a, b) for a, b in zip(arrays, came, strict=True))
    for sums, same in zip(wanted[1], found[1], strict=True):
        assert sums.dtype == same.dtype and np.array_equal(sums, same)


@pytest.mark.parametrize("transports", ["tcp", "posix,cma,self"])
def test_messages_that_are_fetched(rng, transports):
    """Of 1 MiB there and 2 MiB back: longer than what is sent at once."""
    sizes = geometry(capacity=64, hidden=4096)
    sent = [for_both(rng, sizes, 64), for_both(rng, sizes, 64)]
    with group(sizes) as near, far_group(sizes, transports=transports) as far:
        wanted, found = seen_of(near, sent)[1], seen_of(far, sent)[1]
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


def test_a_round_that_was_sent_before_its_sender_was_known(rng):
    sizes = geometry()
    early, late = (UcxAllToAll(sizes, rank, SECRET) for rank in range(2))
    early.attach(late.address)
    handles = [send(early, for_both(rng, sizes, 3), tag) for tag in (7, 8)]
    with pytest.raises(TimedOut):
        late.dispatch_receive(SHORT_NS)
    late.attach(early.address)
    for handle, tag in zip(handles, (7, 8), strict=True):
        for rank, source in ((early, 0), (late, 0)):
            (arrived,) = rank.dispatch_receive(LONG_NS, (source,))
            assert (arrived.tag, arrived.num_tokens) == (tag, 3)
            rank.combine_send(arrived, arrived.floats())
        early.combine_receive(handle, LONG_NS)
    early.close()
    late.close()


def test_a_round_outlives_its_sender(rng):
    """Whoever closes has sent what it sent; only then others hear that it is dead."""
    sizes = geometry()
    with far_group(sizes) as (one, other):
        exchange([one, other], [for_both(rng, sizes, 2)] * 2, lambda _, arrived: arrived.floats())
        send(one, for_both(rng, sizes, 5), tag=3)
        one.close()
        (arrived,) = other.dispatch_receive(LONG_NS, (0,))
        assert (arrived.tag, arrived.num_tokens) == (3, 5)
        with pytest.raises(RankDead, match="rank 0 is dead"):
            other.dispatch_receive(LONG_NS, (0,))
        assert not other.combine_send(arrived, arrived.floats())
        assert other.alive() == (1,)


def test_an_answer_may_be_a_refusal(rng):
    sizes = geometry()
    with far_group(sizes) as (one, other):
        handle = send(one, for_both(rng, sizes, 4))
        for rank in (one, other):
            (arrived,) = rank.dispatch_receive(LONG_NS)
            rank.combine_send(arrived, arrived.floats() if rank is one else None)
        with pytest.raises(RankRefused, match="rank 1 has refused"):
            one.combine_receive(handle, LONG_NS)


def answer(rank: Rank, rounds: int) -> None:
    """What a thread beside the one that dispatches does."""
    for _ in range(rounds):
        for arrived in rank.dispatch_receive(LONG_NS, (0, 1)):
            rank.combine_send(arrived, arrived.floats())


@pytest.mark.parametrize("transports", ["tcp", "posix,cma,self"])
@pytest.mark.parametrize("spin_ns", [0, 50_000])
def test_both_sides_of_a_rank_at_once(rng, transports, spin_ns):
    """Each rank answers in one thread and dispatches in another; one worker serves both."""
    sizes, rounds = geometry(), 100
    given = for_both(rng, sizes, 3)
    with far_group(sizes, transports=transports, spin_ns=spin_ns) as ranks:
        threads = [threading.Thread(target=answer, args=(rank, rounds)) for rank in ranks]
        for thread in threads:
            thread.start()
        sums = []

        def ask(rank: Rank) -> None:
            for turn in range(rounds):
                handle = send(rank, given, turn)
                sums.append(rank.combine_receive(handle, LONG_NS))

        threads += [threading.Thread(target=ask, args=(rank,)) for rank in ranks]
        for thread in threads[2:]:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(sums) == 2 * rounds
    assert all(np.array_equal(each, 2 * given.hidden_TH) for each in sums)


def test_who_knows_no_tag_is_not_heard(rng):
    """A stranger that has found the address, but not the secret."""
    sizes = geometry()
    with far_group(sizes) as (one, other):
        stranger = UcxAllToAll(sizes, 1, b"of another cluster")
        address = np.zeros(1 << 16, np.uint8)
        length = one._lib.a2a_wire_address(one._stored, address)
        stranger._lib.a2a_attach_far(stranger._stored, 0, 1, 12345, address[:length])
        given = for_both(rng, sizes, 3)
        given.requests_T[:] = 666
        send(stranger, given, tag=666)
        mine = for_both(rng, sizes, 2)
        handle = send(other, mine, tag=5)
        for rank in (one, other):
            (arrived,) = rank.dispatch_receive(LONG_NS)
            assert (arrived.tag, arrived.source, arrived.num_tokens) == (5, 1, 2)
            rank.combine_send(arrived, arrived.floats())
        assert np.array_equal(other.combine_receive(handle, LONG_NS), 2 * mine.hidden_TH)
        stranger.close()
        assert one.alive() == (0, 1)


@pytest.mark.parametrize("capacity", [8, 32])
def test_who_writes_messages_of_another_length_is_cut_off(rng, capacity):
    """It knows the secret, but not the sizes: shorter rows, as many as fit or more."""
    rank = UcxAllToAll(geometry(), 0, SECRET)
    other = UcxAllToAll(geometry(), 1, SECRET)
    rank.attach(other.address)
    odd = UcxAllToAll(geometry(capacity=capacity, hidden=100), 1, SECRET)
    token, address = rank_and_address(rank)
    odd._lib.a2a_attach_far(odd._stored, 0, 1, token, address)
    send(odd, for_both(rng, odd.geometry, capacity))
    with pytest.raises(RankCutOff, match="rank 1 wrote what cannot be"):
        rank.dispatch_receive(LONG_NS, (1,))
    for each in (rank, other, odd):
        each.close()


def rank_and_address(rank: UcxAllToAll) -> tuple[int, np.ndarray]:
    """What somebody with the secret makes of a rank's card."""
    from kernels.all_to_all import card

    shown = card.read(rank.address, rank.geometry, SECRET)
    return card.token_of(shown.nonce, SECRET), np.frombuffer(shown.address, np.uint8)


def test_nothing_stays_open():
    """UCX keeps what it opens once for a process; of ranks nothing is left."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def once() -> None:
        sizes = geometry()
        for transports in ("tcp", "posix,cma,self"):
            with far_group(sizes, transports=transports) as ranks:
                none = tokens(np.random.default_rng(1), sizes, 0)
                exchange(ranks, [none, none], lambda _, arrived: arrived.floats())

    once()
    gc.collect()
    files, before = open_files(), names()
    once()
    gc.collect()
    assert open_files() <= files
    assert not left_behind(before)


def test_a_closed_rank_refuses(rng):
    with far_group(geometry()) as (one, other):
        one.close()
        with pytest.raises(ValueError, match="closed"):
            send(one, tokens(rng, geometry(), 1))
        with pytest.raises(RankDead):
            other.dispatch_receive(LONG_NS, (0,))


def test_transports_that_are_not_there():
    with pytest.raises(RuntimeError, match=r"needs UCX.*: UCX cannot start: No such device"):
        UcxAllToAll(geometry(), 0, SECRET, transports="pigeons")


def test_without_ucx(monkeypatch):
    monkeypatch.setattr(ucx, "load", lambda: "")
    with pytest.raises(RuntimeError, match=r"pip install 'perfuse\[ucx\]'"):
        UcxAllToAll(geometry(), 0, SECRET)
