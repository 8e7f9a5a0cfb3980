"""Whatever an address leads to: the arena it must be, or a clear refusal."""

import os
import random
import stat

import pytest

from kernels.all_to_all import (
    AllToAll,
    AttachRefused,
)
from tests.kernels.all_to_all.ranks import (
    SECRET,
    geometry,
    memory_of,
)


@pytest.mark.parametrize(
    "address", ["", "a2a:1:1:1", "a2a:0:1:0:3", "a2a:x:1:1:1", "../../etc", "a2a:0:1:999999999:3"]
)
def test_an_address_that_leads_nowhere(address):
    rank = AllToAll(geometry(), 0, SECRET)
    with pytest.raises(AttachRefused, match=r"not of the form|No such|Invalid"):
        rank.attach(address)
    rank.close()


def test_a_file_that_is_no_arena(tmp_path):
    """Never opened for writing, let alone mapped."""
    rank = AllToAll(geometry(), 0, SECRET)
    with (
        open(tmp_path / "file", "wb") as file,
        pytest.raises(AttachRefused, match="what is open there is no arena"),
    ):
        rank.attach(f"a2a:1:1:{os.getpid()}:{file.fileno()}")
    rank.close()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"secret": b"another cluster's secret"}, "signed with another secret"),
        ({"geometry": geometry(capacity=17)}, "bytes; it must have"),
        ({"geometry": geometry(num_experts=9)}, "its num_experts is 9; here it is 8"),
        ({"geometry": geometry(send="bf16", hidden=3, capacity=1)}, "bytes; it must have|send"),
    ],
)
def test_an_arena_of_another_cluster(other, words):
    rank = AllToAll(geometry(), 0, SECRET)
    stranger = AllToAll(**{"geometry": geometry(), "rank": 1, "secret": SECRET} | other)
    with pytest.raises(AttachRefused, match=words):
        rank.attach(stranger.address)
    stranger.close()
    rank.close()


def test_a_header_that_was_damaged():
    """Each bit of what is signed, one at a time, and the whole page at random."""
    rank, other = (AllToAll(geometry(), number, SECRET) for number in range(2))
    memory, chance = memory_of(other), random.Random(5)
    was = memory[:512]
    for bit in chance.sample(range(8 * 224), 100):
        memory[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AttachRefused, match=r"begins with|version|signed with another"):
            rank.attach(other.address)
        memory[:512] = was
    for _ in range(100):
        memory[:512] = chance.randbytes(512)
        with pytest.raises(AttachRefused):
            rank.attach(other.address)
    memory[:512] = was
    assert rank.attach(other.address) == 1
    rank.close()
    other.close()


def test_the_file_is_this_users_alone_and_cannot_shrink():
    rank = AllToAll(geometry(), 0, SECRET)
    file = int(rank.address.rsplit(":", 1)[1])
    assert stat.S_IMODE(os.fstat(file).st_mode) == 0o600
    with pytest.raises(PermissionError):
        os.ftruncate(file, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(file, 1 << 30)
    other = AllToAll(geometry(), 1, SECRET)
    os.fchmod(file, 0o666)
    with pytest.raises(AttachRefused, match="has mode 666; it must be 600"):
        other.attach(rank.address)
    rank.close()
    other.close()
