"""Whatever a peer writes into an arena: a clear error on the side that reads it, and no crash."""

import random
import struct

import pytest

from kernels.all_to_all import (
    AllToAllError,
    RankCutOff,
    TimedOut,
)
from tests.kernels.all_to_all.ranks import (
    LONG_NS,
    geometry,
    group,
    memory_of,
    owners,
    tokens,
)

WORD = struct.Struct("<Q")


def round_word(epoch: int, number: int) -> bytes:
    return WORD.pack(epoch << 40 | number)


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (8, struct.pack("<I", 17)),  # more rows than there is room for
        (8, struct.pack("<I", 2**32 - 1)),
        (0, round_word(1, 3)),  # a round that cannot be there yet
        (0, round_word(1, 2**40 - 1)),
        (64 + 2 * 128, struct.pack("<i", 8)),  # an expert that is not there
        (64 + 2 * 128, struct.pack("<i", -2)),
    ],
)
def test_nonsense_in_a_dispatch_cuts_its_sender_off(rng, at, what):
    """Told once; others are listened to as before."""
    sizes = geometry()
    given = tokens(rng, sizes, 2)
    given.experts_TK[:] = [[0, 1, 7]] * 2
    with group(sizes) as (sender, shard):
        sender.dispatch_send(given, owners(sizes), LONG_NS)
        layout = sizes.layout()
        place = layout.work_begin + 2 * layout.work + at  # [parity 1][source 0]
        memory_of(shard)[place : place + len(what)] = what
        with pytest.raises(RankCutOff, match="rank 0 wrote what cannot be"):
            shard.dispatch_receive(LONG_NS)
        assert shard.alive() == (1,)
        with pytest.raises(RankCutOff):
            shard.dispatch_receive(LONG_NS, (0,))
        handle = shard.dispatch_send(given, owners(sizes), LONG_NS)
        (arrived,) = shard.dispatch_receive(LONG_NS)
        assert arrived.source == 1
        shard.combine_send(arrived, arrived.floats())
        with pytest.raises(RankCutOff):
            shard.combine_receive(handle, LONG_NS)


@pytest.mark.parametrize(
    ("at", "what"),
    [(8, struct.pack("<I", 3)), (12, struct.pack("<I", 2)), (0, round_word(1, 5))],
)
def test_nonsense_in_an_answer_cuts_its_sender_off(rng, at, what):
    sizes = geometry()
    given = tokens(rng, sizes, 2)
    given.experts_TK[:] = [[7, -1, -1]] * 2
    with group(sizes) as (chip, shard):
        handle = chip.dispatch_send(given, owners(sizes), LONG_NS)
        (arrived,) = shard.dispatch_receive(LONG_NS)
        shard.combine_send(arrived, arrived.floats())
        layout = sizes.layout()
        place = layout.answers_begin + 3 * layout.answer + at  # [parity 1][shard 1]
        memory_of(chip)[place : place + len(what)] = what
        with pytest.raises(RankCutOff, match="rank 1 wrote what cannot be"):
            chip.combine_receive(handle, LONG_NS)
        combined = chip.combine_receive_partial(handle, LONG_NS)
        assert [missing.rank for missing in combined.missing] == [1]


def test_an_epoch_of_the_past_or_the_future_is_nobodys_word(rng):
    sizes = geometry()
    with group(sizes, epoch=7) as (_, shard):
        for epoch in (0, 6, 8, 2**24 - 1):
            place = sizes.layout().work_begin + 2 * sizes.layout().work
            memory_of(shard)[place : place + 8] = round_word(epoch, 1)
            with pytest.raises(TimedOut):
                shard.dispatch_receive(0, (0,))
        assert shard.alive() == (0, 1)


def test_any_bytes_in_an_arena(rng):
    """All that a peer could write, at random, while ranks send and receive: errors of ours only."""
    sizes = geometry(capacity=2, hidden=8, send="int8", back="int8")
    given, chance = tokens(rng, sizes, 2), random.Random(3)
    for _ in range(150):
        with group(sizes) as (chip, shard):
            memory = memory_of(shard)
            handle = chip.dispatch_send(given, owners(sizes), LONG_NS, everyone=True)
            for _ in range(chance.choice((3, 300))):
                memory[chance.randrange(512, len(memory))] = chance.randrange(256)
            try:
                for arrived in shard.dispatch_receive(1_000_000):
                    shard.combine_send(arrived, arrived.floats())
                shard.dispatch_send(given, owners(sizes), 1_000_000)
                chip.combine_receive(handle, 1_000_000)
            except AllToAllError:
                continue
