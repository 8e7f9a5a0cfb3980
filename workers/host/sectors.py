"""A blob of fixed size that is written in place, as a device's sectors hold it through a crash."""

from collections.abc import Callable

# What a disk writes whole or torn, and never more of at once; the sector of ATA and NVMe.
SECTOR_BYTES = 512


def check_span(name: str, offset: int, num_bytes: int, size_bytes: int) -> None:
    """Raises ValueError unless the bytes lie within the blob."""
    if offset < 0 or num_bytes < 0 or offset + num_bytes > size_bytes:
        raise ValueError(
            f"{num_bytes} bytes at offset {offset} of {name!r}: it has {size_bytes}, and keeps them"
        )


class SectorBlob:
    """Bytes in memory, all zero at first, and what a crash may do to those that are not synced.

    A write is cut at the sectors' bounds. Of the pieces since the last sync a crash keeps an
    arbitrary subset, applied in an arbitrary order, each whole or an arbitrary prefix of it.
    """

    def __init__(self, name: str, size_bytes: int) -> None:
        self._name = name
        self._data = bytearray(size_bytes)
        self._synced_sectors: dict[int, bytes] = {}  # as they were, of those written since
        self._pieces: list[tuple[int, bytes]] = []
        self.was_synced = False

    def __len__(self) -> int:
        return len(self._data)

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Raises ValueError if this is not within the blob."""
        check_span(self._name, offset, num_bytes, len(self._data))
        return bytes(self._data[offset : offset + num_bytes])

    def write(self, offset: int, data: bytes) -> None:
        """Raises ValueError if this is not within the blob."""
        check_span(self._name, offset, len(data), len(self._data))
        data, end = bytes(data), offset + len(data)
        for sector in range(offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            begins = sector * SECTOR_BYTES
            before = self._data[begins : begins + SECTOR_BYTES]
            self._synced_sectors.setdefault(sector, bytes(before))
            first, last = max(offset, begins), min(end, begins + SECTOR_BYTES)
            self._pieces.append((first, data[first - offset : last - offset]))
        self._data[offset:end] = data

    def sync(self) -> None:
        self._synced_sectors.clear()
        self._pieces.clear()
        self.was_synced = True

    def crash(self, uniform: Callable[[str], float]) -> None:
        """`uniform(key)` in [0, 1) draws the order, and what becomes of each unsynced piece."""
        for sector, data in self._synced_sectors.items():
            begins = sector * SECTOR_BYTES
            self._data[begins : begins + len(data)] = data
        pieces = list(enumerate(self._pieces))
        pieces.sort(key=lambda numbered: uniform(f"{self._name}: order of {numbered[0]}"))
        for number, (offset, piece) in pieces:
            kept = _kept(piece, uniform(f"{self._name}: piece {number}"))
            self._data[offset : offset + len(kept)] = kept
        self.sync()


def _kept(piece: bytes, share: float) -> bytes:
    """A third each: nothing of it, all of it, a prefix."""
    third = int(share * 3)
    if third < 2:
        return piece if third else b""
    return piece[: int((share * 3 - 2) * len(piece))]
