"""Arguments that cannot be: an error that says which, and what would be right."""

from dataclasses import fields

import numpy as np
import pytest

from kernels.all_to_all import (
    AllToAll,
    AttachRefused,
    Geometry,
    TimedOut,
    Tokens,
)
from tests.kernels.all_to_all.ranks import (
    LONG_NS,
    SECRET,
    geometry,
    group,
    owners,
    tokens,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"world": 0}, "world is 0; it must be from 1 to 1024"),
        ({"world": 1025}, "world is 1025"),
        ({"capacity": 0}, "capacity is 0; it must be from 1 to 65536"),
        ({"hidden": 0}, "hidden is 0"),
        ({"hidden": 1 << 62}, "hidden is 4611686018427387904"),
        ({"num_experts": 0}, "num_experts is 0"),
        ({"experts_per_token": 0}, "experts_per_token is 0"),
        ({"send": "fp64"}, "send is 'fp64'; it must be one of fp32, bf16, int8$"),
        ({"back": "int4"}, "back is 'int4'; it must be one of fp32, bf16, int8, fp64"),
    ],
)
def test_sizes_that_cannot_be(changes, words):
    with pytest.raises(ValueError, match=words):
        geometry(**changes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 2}, "rank is 2; it must be from 0 to 1"),
        ({"rank": -1}, "rank is -1"),
        ({"secret": b"short"}, "secret has 5 bytes; it must have at least 16"),
        ({"epoch": 0}, "epoch is 0; it must be from 1 to 16777215"),
        ({"epoch": 1 << 24}, "epoch is 16777216"),
        ({"spin_ns": -1}, "spin_ns is -1"),
    ],
)
def test_a_rank_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        AllToAll(**{"geometry": geometry(), "rank": 0, "secret": SECRET} | options)


def test_arguments_of_a_dispatch(rng):
    sizes = geometry()
    given = [getattr(tokens(rng, sizes, 3), field.name) for field in fields(Tokens)]
    bad = [
        (owners(sizes)[1:], *given),
        (owners(sizes).astype(np.int64), *given),
        (np.full(9, 2, np.int32), *given),
        (owners(sizes), given[0][:2], *given[1:]),
        (owners(sizes), given[0].astype(np.int64), *given[1:]),
        (owners(sizes), *given[:2], given[2][:, :2], *given[3:]),
        (owners(sizes), *given[:2], np.full((3, 3), 8, np.int32), *given[3:]),
        (owners(sizes), *given[:2], np.full((3, 3), -2, np.int32), *given[3:]),
        (owners(sizes), *given[:4], given[4][:, :-1]),
        (owners(sizes), *given[:4], given[4].astype(np.float64)),
        (owners(sizes), *given[:4], given[4][0]),
    ]
    with group(sizes) as (rank, other):
        for arguments in bad:
            with pytest.raises(ValueError, match=r"must|there are"):
                rank.dispatch_send(Tokens(*arguments[1:]), arguments[0], LONG_NS)
        with pytest.raises(ValueError, match="sources names rank 2"):
            rank.dispatch_receive(0, (0, 2))
        with pytest.raises(ValueError, match="named once"):
            rank.dispatch_receive(0, (0, 0))
        with pytest.raises(ValueError, match="timeout_ns is -1"):
            rank.dispatch_receive(-1)
        with pytest.raises(TimedOut):
            other.dispatch_receive(0)
    with pytest.raises(ValueError, match="this rank is closed"):
        rank.dispatch_receive(0)


def test_a_rank_that_is_not_attached(rng):
    sizes = geometry(world=3)
    rank = AllToAll(sizes, 0, SECRET)
    given = tokens(rng, sizes, 1)
    given.experts_TK[:] = 7
    with pytest.raises(ValueError, match="rank 2 is not attached"):
        rank.dispatch_send(given, owners(sizes), 0)
    with pytest.raises(ValueError, match="rank 1 is not attached"):
        rank.dispatch_receive(0, (1,))
    with pytest.raises(ValueError, match="rank 1 is not attached"):
        rank.mark_dead(1)
    with pytest.raises(AttachRefused, match="rank 0 is this one"):
        rank.attach(rank.address)
    assert rank.alive() == (0,)
    rank.close()


def test_there_is_no_memory_for_it():
    """Said before any is taken: the kernel would give all there is."""
    huge = Geometry(1024, 65536, 1 << 20, 1, 1)
    with pytest.raises(MemoryError, match=r"takes 1\d{15} bytes; \d+ are available"):
        AllToAll(huge, 0, SECRET)
