"""Rings of bytes: what goes in comes out, at every place; bells; nonsense; what is refused."""

import mmap
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest

from kernels.ring import Ring, file_bytes, hindrance, nonsense

pytestmark = pytest.mark.skipif(bool(hindrance()), reason=hindrance())

RING_BYTES = 4096
MOST = 2**20


@dataclass
class Two:
    """Both sides in one process: `a` writes to `b`."""

    file: int
    bells: tuple[int, int]
    a: Ring
    b: Ring

    def ring(self, this: int, **changed: int) -> Ring:
        options = {
            "ring_bytes": RING_BYTES,
            "side": this,
            "own_bell": self.bells[this],
            "other_bell": self.bells[1 - this],
            "record_bytes_max": MOST,
            **changed,
        }
        return Ring(self.file, options.pop("ring_bytes"), **options)

    def rung(self, side: int) -> bool:
        with suppress(BlockingIOError):
            return os.eventfd_read(self.bells[side]) > 0
        return False


@pytest.fixture
def two() -> Iterator[Two]:
    file = os.memfd_create("test", os.MFD_CLOEXEC)
    os.ftruncate(file, file_bytes(RING_BYTES))
    bells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)]
    made = Two(file, (bells[0], bells[1]), None, None)  # type: ignore[arg-type]
    made.a, made.b = made.ring(0), made.ring(1)
    yield made
    made.a.close()
    made.b.close()
    for descriptor in (file, *bells):
        os.close(descriptor)


def taken(ring: Ring) -> bytes:
    """The next record, which must be there as far as the ring holds it."""
    out = bytearray(ring.next())
    ring.read(out, 0)
    return bytes(out)


def test_records_come_out_as_they_went_in_at_every_place_in_the_ring(two: Two) -> None:
    """By sizes that do not divide the ring's, so that each byte of a length is cut once."""
    rng = np.random.Generator(np.random.PCG64(3))
    for i in range(3_000):
        size = int(rng.integers(1, 900)) if i % 10 else RING_BYTES - 8
        record = rng.bytes(size)
        assert two.a.write(record, 0, size) == size
        assert taken(two.b) == record
        assert two.b.next() == 0


def test_a_record_in_parts_is_seen_once_it_is_whole(two: Two) -> None:
    assert two.a.write(b"ab", 0, 5) == 2
    assert two.b.next() == 0
    assert two.a.write(b"xcde", 1, 5) == 3  # from its second byte
    assert taken(two.b) == b"abcde"


def test_a_record_longer_than_the_ring_goes_in_pieces(two: Two) -> None:
    record = np.random.Generator(np.random.PCG64(4)).bytes(3 * RING_BYTES + 5)
    out, at, there = bytearray(len(record)), 0, 0
    while there < len(out):
        at += two.a.write(record, at, len(record)) if at < len(record) else 0
        assert two.b.next() == len(out) - there
        there += two.b.read(out, there)
    assert bytes(out) == record


def test_who_reads_is_rung_only_when_it_sleeps(two: Two) -> None:
    two.a.write(b"1", 0, 1)
    assert not two.rung(1)  # it has not said yet that it sleeps
    assert taken(two.b) == b"1" and two.b.next() == 0
    two.a.write(b"2", 0, 1)
    assert two.rung(1)
    two.a.write(b"3", 0, 1)
    assert not two.rung(1)  # it was woken, and will see that one too
    two.b.awake()
    assert (taken(two.b), taken(two.b)) == (b"2", b"3")


def test_who_waits_for_room_is_rung_when_half_of_it_is_free(two: Two) -> None:
    part = bytes(1000)
    for _ in range(4):
        assert two.a.write(part, 0, 1000) == 1000
    assert two.a.write(part, 0, 1000) == RING_BYTES - 4 * 1008 - 8
    taken(two.b)
    assert not two.rung(0)
    taken(two.b)
    taken(two.b)
    assert two.rung(0)
    assert two.a.write(part, 56, 1000) == 944


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, RING_BYTES + 1, "more was written"),
        (0, 2**64 - 1, "more was written"),
        (128, 1, "more was read"),
        (128, 2**63, "more was read"),
    ],
)
def test_positions_that_cannot_be_are_named(two: Two, at: int, value: int, said: str) -> None:
    with mmap.mmap(two.file, 4096) as positions:
        positions[at : at + 8] = value.to_bytes(8, "little")
    found = two.b.next() if at == 0 else two.a.write(b"x", 0, 1)
    assert found < 0 and said in nonsense(found)


@pytest.mark.parametrize("length", [0, MOST + 1, 2**64 - 1])
def test_lengths_that_cannot_be_are_named(two: Two, length: int) -> None:
    with mmap.mmap(two.file, file_bytes(RING_BYTES)) as memory:
        memory[4096:4104] = length.to_bytes(8, "little")
        memory[:8] = (8).to_bytes(8, "little")
    assert "a length that none may have" in nonsense(two.b.next())


def test_random_positions_end_no_process(two: Two) -> None:
    """Whatever the other side writes, at any time: numbers, or bytes of the ring."""
    rng = np.random.Generator(np.random.PCG64(6))
    out = bytearray(MOST)
    with mmap.mmap(two.file, file_bytes(RING_BYTES)) as memory:
        for _ in range(20_000):
            at = int(rng.choice([0, 128, 256, 384, 512, 640, 768, 896, 4096]))
            memory[at : at + 8] = rng.bytes(8 if rng.random() < 0.5 else 1).ljust(8, b"\0")
            length = two.b.next()
            if 0 < length <= MOST:
                two.b.read(out, 0)
            with suppress(ValueError):  # a record that found no room before is still open
                two.b.write(b"abc", 0, 3)


def test_what_cannot_be_is_refused(two: Two) -> None:
    with pytest.raises(ValueError, match="two rings of 8192 take 20480"):
        two.ring(0, ring_bytes=8192)
    with pytest.raises(ValueError, match="ring_bytes is 4097; it must be a power of two"):
        two.ring(0, ring_bytes=4097)
    with pytest.raises(ValueError, match="side is 2"):
        two.ring(1, side=2)
    with pytest.raises(ValueError, match="a bell is no open file"):
        two.ring(0, own_bell=10_000)
    with pytest.raises(ValueError, match="bytes has 3 of a record of 2"):
        two.a.write(b"abc", 0, 2)
    two.a.write(b"a", 0, 2)
    with pytest.raises(ValueError, match="bytes has 3 of a record that lacks 1"):
        two.a.write(b"abc", 0, 2)
    two.a.write(b"b", 0, 2)
    two.b.next()
    with pytest.raises(ValueError, match="room for 1 bytes; 2 are left"):
        two.b.read(bytearray(1), 0)
    with pytest.raises(ValueError, match="read-only"):
        two.b.read(bytes(2), 0)
    two.b.close()
    two.b.close()
    for call in (two.b.next, two.b.awake, lambda: two.b.read(bytearray(9), 0)):
        with pytest.raises(ValueError, match="the ring is closed"):
            call()
    with pytest.raises(ValueError, match="the ring is closed"):
        two.b.write(b"a", 0, 1)


ECHO = """
import select, sys
from kernels.ring import Ring
file, ring_bytes, own, other, number = map(int, sys.argv[1:])
ring = Ring(file, ring_bytes, side=1, own_bell=own, other_bell=other, record_bytes_max=2**20)
def wait():
    if not select.select([own], [], [], 10)[0]:
        sys.exit("nobody rang")
    ring.awake()
for _ in range(number):
    while not (length := ring.next()):
        wait()
    out, there = bytearray(length), 0
    while there < length:
        if not ring.next():
            wait()
            continue
        there += ring.read(out, there)
    at = 0
    while (at := at + ring.write(out, at, length)) < length:
        wait()
"""


def test_nobody_sleeps_for_ever_between_two_processes() -> None:
    """Who sleeps is always rung: 20,000 records back and forth, some longer than the ring."""
    number = 20_000
    file = os.memfd_create("test", 0)
    os.ftruncate(file, file_bytes(RING_BYTES))
    bells = [os.eventfd(0, 0) for _ in range(2)]
    given = [file, RING_BYTES, bells[1], bells[0], number]
    child = subprocess.Popen(
        [sys.executable, "-c", ECHO, *map(str, given)], pass_fds=[file, *bells]
    )
    ring = Ring(
        file, RING_BYTES, side=0, own_bell=bells[0], other_bell=bells[1], record_bytes_max=MOST
    )
    rng = np.random.Generator(np.random.PCG64(8))
    sizes = np.where(rng.random(number) < 0.02, 9_000, rng.integers(1, 300, number)).tolist()
    for size in sizes:
        record, at, there = rng.bytes(size), 0, 0
        out = bytearray(size)
        while there < size:
            if at < size:
                at += ring.write(record, at, size)
            if ring.next():
                there += ring.read(out, there)
            else:
                assert select.select([bells[0]], [], [], 10)[0], "nobody rang"
                ring.awake()
        assert bytes(out) == record
    assert child.wait(timeout=10) == 0
    ring.close()
    for descriptor in (file, *bells):
        os.close(descriptor)
