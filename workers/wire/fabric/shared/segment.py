"""The segment that processes of one machine share: a file in shared memory, read and written under
a lock that the kernel takes from whoever dies.

    header      how much of each is there; written last, so that what was half written never was
    counts      of each way, by whoever sends on it
    starts      a ring: all that have left and are in no state yet, in order of coming
    ways        one after the other
    states      two places: the state of all that left before `settled_ns`, and its predecessor

It has neither processes' addresses nor anything that belongs to one: one that is killed leaves what
it has sent on its way, as a real network does, and whoever comes back reads what there is. Nothing
here is mapped, so neither a file cut short nor a full disk ends a process.
"""

import base64
import fcntl
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workers.wire.fabric.shared.starts import SharedWay, Start

_MAGIC = 0x70657266_6C6E6B31
_HEADER = struct.Struct("<10q")
_START = struct.Struct("<7q")
# Starts that are in no state yet.
RING = 4096
WAYS_MAX = 1 << 16
COUNT_BYTES = 128
# Room in the file's numbering, of which memory is taken as it is written.
_WAYS_BYTES, _STATE_BYTES = 64 << 20, 64 << 20
_COUNTS_AT = 4096
_STARTS_AT = _COUNTS_AT + WAYS_MAX * COUNT_BYTES
_WAYS_AT = _STARTS_AT + RING * _START.size
_STATES_AT = _WAYS_AT + _WAYS_BYTES


class SegmentFull(RuntimeError):
    """There is no room for what it must hold."""


@dataclass(frozen=True, slots=True)
class Header:
    """settled_ns   the state is of then; what leaves earlier and comes later, leaves then
    first, end   of starts that are in no state yet: numbers, as they came
    place, state_bytes   of the state
    num_reported   of starts: other machines were told of those below
    """

    settled_ns: int = 0
    first: int = 0
    end: int = 0
    num_ways: int = 0
    ways_bytes: int = 0
    place: int = 0
    state_bytes: int = 0
    num_owners: int = 0
    num_reported: int = 0


class Segment:
    """Opened, and made by whoever comes first, with `state` as the first state.

    Raises OSError where there is no room, ValueError where the file is of another kind.
    """

    def __init__(self, path: Path, state: Any) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._ways: list[SharedWay] = []
        self._numbers: dict[SharedWay, int] = {}
        self._ways_read = 0
        self._header = Header()
        with self.locked():
            if os.fstat(self._file).st_size == 0:
                self.settle(0, 0, state)
            found = self.refresh()
            self.owner = found.num_owners
            self._write_header(replace(found, num_owners=self.owner + 1))

    def close(self) -> None:
        os.close(self._file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else reads or writes meanwhile, but for counts."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    # -- under the lock ----------------------------------------------------------------------------

    def refresh(self) -> Header:
        """What there is now."""
        magic, *numbers = _HEADER.unpack(self._read(0, _HEADER.size))
        if magic != _MAGIC:
            raise ValueError("the network's segment was made by another version of this program")
        self._header = Header(*numbers)
        return self._header

    def _write_header(self, header: Header) -> None:
        h = self._header = header
        numbers = h.settled_ns, h.first, h.end, h.num_ways, h.ways_bytes
        others = h.place, h.state_bytes, h.num_owners, h.num_reported
        packed = _HEADER.pack(_MAGIC, *numbers, *others)
        self._write(0, packed)

    def starts(self, begin: int, end: int) -> list[Start]:
        """By number, from `begin` on and below `end`: of the last RING that came."""
        found = list[Start]()
        while begin < end:
            many = min(end - begin, RING - begin % RING)
            read = self._read(_STARTS_AT + begin % RING * _START.size, many * _START.size)
            found += [Start(*one) for one in _START.iter_unpack(read)]
            begin += many
        return found

    def append(self, starts: Sequence[Start]) -> None:
        """There is room for them: see `RING`."""
        header = self._header
        assert header.end + len(starts) - header.first <= RING, "whoever appends settles before"
        for number, one in enumerate(starts, header.end):
            self._write(_STARTS_AT + number % RING * _START.size, _START.pack(*one))
        self._write_header(replace(header, end=header.end + len(starts)))

    def unreported(self) -> list[Start]:
        """What was never asked for so before, of what the ring still has; it is now."""
        header = self.refresh()
        begin = max(header.num_reported, header.end - RING)
        if begin < header.end:
            self._write_header(replace(header, num_reported=header.end))
        return self.starts(begin, header.end)

    def number_of(self, way: SharedWay) -> int:
        """Of a way, which is added where there is none like it. Raises SegmentFull."""
        self._read_ways()
        if way in self._numbers:
            return self._numbers[way]
        header = self._header
        told = json.dumps((way.names, way.rates, way.waits_ns, way.pair)).encode()
        size = header.ways_bytes + len(told) + 4
        if header.num_ways == WAYS_MAX or size > _WAYS_BYTES:
            raise SegmentFull(f"{header.num_ways:,} ways through the network are all it can have")
        self._write(_WAYS_AT + header.ways_bytes, len(told).to_bytes(4, "little") + told)
        self._write_header(replace(header, num_ways=header.num_ways + 1, ways_bytes=size))
        self._read_ways()
        return header.num_ways

    def way(self, number: int) -> SharedWay:
        if number >= len(self._ways):
            self._read_ways()
        return self._ways[number]

    def ways(self) -> Sequence[SharedWay]:
        """By number."""
        self._read_ways()
        return self._ways

    def _read_ways(self) -> None:
        header = self._header
        if header.ways_bytes == self._ways_read:
            return
        told = self._read(_WAYS_AT + self._ways_read, header.ways_bytes - self._ways_read)
        self._ways_read, at = header.ways_bytes, 0
        while at < len(told):
            size = int.from_bytes(told[at : at + 4], "little")
            names, rates, waits_ns, pair = json.loads(told[at + 4 : at + 4 + size])
            source, target = pair
            way = SharedWay(tuple(names), tuple(rates), tuple(waits_ns), (source, target))
            self._numbers[way] = len(self._ways)
            self._ways.append(way)
            at += 4 + size

    def state(self) -> Any:
        """Of all that left before `settled_ns`."""
        header = self._header
        at = _STATES_AT + header.place * _STATE_BYTES
        return _tuples(json.loads(self._read(at, header.state_bytes)))

    def settle(self, settled_ns: int, first: int, state: Any) -> None:
        """The state of then; starts before number `first` are in it. Raises SegmentFull."""
        packed = json.dumps(state, default=_text).encode()
        if len(packed) > _STATE_BYTES:
            raise SegmentFull(f"the network's state has {len(packed):,} bytes: that is too much")
        header = self._header
        place = 1 - header.place
        self._write(_STATES_AT + place * _STATE_BYTES, packed)
        self._write_header(
            replace(
                header, settled_ns=settled_ns, first=first, place=place, state_bytes=len(packed)
            )
        )

    # -- counts: each has one writer, the process that sends on the way ----------------------------

    def count(self, way: int) -> bytes:
        """Of a way, as its sender left it; zeros at first."""
        read = os.pread(self._file, COUNT_BYTES, _COUNTS_AT + way * COUNT_BYTES)
        return read.ljust(COUNT_BYTES, b"\0")

    def set_count(self, way: int, count: bytes) -> None:
        self._write(_COUNTS_AT + way * COUNT_BYTES, count)

    # ----------------------------------------------------------------------------------------------

    def _read(self, at: int, size: int) -> bytes:
        read = os.pread(self._file, size, at)
        if len(read) != size:
            raise ValueError("the network's segment was cut short")
        return read

    def _write(self, at: int, data: bytes) -> None:
        if os.pwrite(self._file, data, at) != len(data):
            raise OSError("there is no room for the network's segment in shared memory")


# Before the text of bytes.
_BYTES = "bytes "


def _text(value: bytes) -> str:
    return _BYTES + base64.b64encode(value).decode()


def _tuples(value: Any) -> Any:
    """As it was before it was JSON. No name begins as bytes do: names have no spaces."""
    if isinstance(value, list):
        return tuple([_tuples(one) for one in value])
    if isinstance(value, str) and value.startswith(_BYTES):
        return base64.b64decode(value[len(_BYTES) :])
    return value
