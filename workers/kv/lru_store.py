"""Blocks within a capacity: the least recently used one goes first, a pinned one never.

bytes_held <= capacity_bytes                      always
_evictable (ordered, least recent first) + _held  each block is in one of the two; pinned ones
in _held
"""

from collections import Counter, OrderedDict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from workers.wire.roles import Array


def num_leading(keys: Sequence[bytes], held: Container[bytes]) -> int:
    """How many of the first keys are held without a gap. Counts as no use."""
    return next((i for i, key in enumerate(keys) if key not in held), len(keys))


@dataclass(slots=True)
class Block:
    """A block's bytes, the checksum it came with, and what it takes of the capacity."""

    array: Array
    checksum: int
    charged_bytes: int


class LruStore:
    """Blocks by key. Raises ValueError on a negative capacity."""

    def __init__(self, capacity_bytes: int) -> None:
        if capacity_bytes < 0:
            raise ValueError(f"capacity_bytes is {capacity_bytes}: it must be 0 or more")
        self.capacity_bytes = capacity_bytes
        self.bytes_held = self.withheld_bytes = 0  # of the capacity, somebody else's
        self._evictable: OrderedDict[bytes, Block] = OrderedDict()
        self._held: dict[bytes, Block] = {}
        self._pins: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._evictable) + len(self._held)

    def __contains__(self, key: object) -> bool:
        return key in self._evictable or key in self._held

    def __getitem__(self, key: bytes) -> Block:
        return self._evictable[key] if key in self._evictable else self._held[key]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._evictable
        yield from self._held

    @property
    def num_pinned(self) -> int:
        return len(self._held)

    @property
    def bytes_pinned(self) -> int:
        return sum(block.charged_bytes for block in self._held.values())

    @property
    def evictable(self) -> tuple[bytes, ...]:
        """Keys that are not pinned, the least recently used one first."""
        return tuple(self._evictable)

    def is_evictable(self, key: bytes) -> bool:
        return key in self._evictable

    def insert(self, key: bytes, block: Block) -> None:
        """A new key, for which `make_room` was asked."""
        if key in self._pins:  # it was dropped as corrupt while pinned, and comes back
            self._held[key] = block
        else:
            self._evictable[key] = block
        self.bytes_held += block.charged_bytes

    def remove(self, key: bytes) -> None:
        """Its pins stay, and count for the next block of this key."""
        block = self._evictable.pop(key) if key in self._evictable else self._held.pop(key)
        self.bytes_held -= block.charged_bytes

    def touch(self, keys: Sequence[bytes]) -> None:
        """Used now; last key first, so that the end of a prefix is evicted before its beginning."""
        for key in reversed(keys):
            if key in self._evictable:
                self._evictable.move_to_end(key)

    def make_room(self, size: int, batch: frozenset[bytes]) -> tuple[bytes, ...] | None:
        """Evict until `size` bytes are free; returns what went, or None, with nothing evicted, if
        that cannot be. `batch`: keys that were touched for the same call, and must not go.
        """
        needed = self.bytes_held + size + self.withheld_bytes - self.capacity_bytes
        victims: list[bytes] = []
        for key, block in self._evictable.items():
            # The batch was touched before: behind its first key there are only its own.
            if needed <= 0 or key in batch:
                break
            victims.append(key)
            needed -= block.charged_bytes
        if needed > 0:
            return None
        for key in victims:
            self.remove(key)
        return tuple(victims)

    def shrink(self) -> None:
        """What lies in withheld room goes, but what is pinned."""
        for key in self.evictable:
            if self.bytes_held + self.withheld_bytes <= self.capacity_bytes:
                return
            self.remove(key)

    def pin(self, keys: Sequence[bytes]) -> None:
        """All are here. Pins add up."""
        for key in keys:
            self._pins[key] = self._pins.get(key, 0) + 1
            if key in self._evictable:
                self._held[key] = self._evictable.pop(key)

    def unpin(self, keys: Sequence[bytes]) -> None:
        """Raises ValueError, and changes nothing, if a key has fewer pins than are taken back."""
        asked = Counter(keys)
        for key, count in asked.items():
            if self._pins.get(key, 0) < count:
                raise ValueError(
                    f"KV block {key.hex()} has {self._pins.get(key, 0)} pins: "
                    f"{count} cannot be taken back"
                )
        for key in reversed(asked):
            self._pins[key] -= asked[key]
            if self._pins[key] == 0:
                del self._pins[key]
                if key in self._held:
                    self._evictable[key] = self._held.pop(key)

    def check_integrity(self) -> None:
        """Assert what must always hold."""
        blocks = {**self._evictable, **self._held}
        charged = sum(block.charged_bytes for block in blocks.values())
        assert len(blocks) == len(self), "a block is both evictable and pinned"
        assert charged == self.bytes_held, f"{charged} bytes charged, {self.bytes_held} counted"
        assert charged <= self.capacity_bytes, f"{charged} bytes > capacity {self.capacity_bytes}"
        assert all(self._pins.get(key, 0) > 0 for key in self._held), "a held block has no pin"
        assert not any(key in self._pins for key in self._evictable), "a pinned block is evictable"
