"""The books of a chip's KV blocks, and whether they agree."""

from collections import OrderedDict, deque
from collections.abc import Mapping

from workers.kv.content import ContentIndex


class Books:
    """See `workers.kv.blocks`, which keeps them."""

    num_ids: int
    _content: ContentIndex
    _free: deque[int]
    _cached: OrderedDict[int, None]
    _references: list[int]
    _pins: dict[int, int]

    def hash_of(self, block_id: int) -> bytes | None:
        """The content hash by which others find this block, or None."""
        return self._content.hash_of(block_id)

    def check_integrity(self, owners: Mapping[int, int] | None = None) -> None:
        """Assert that each block is exactly one of free, cached and referenced.

        `owners`: block id -> sequences that hold it; references must be these plus the pins.
        """
        free, cached = list(self._free), list(self._cached)
        referenced = [b for b in range(self.num_ids) if self._references[b]]
        total = (
            f"free {len(free)} + cached {len(cached)} + referenced {len(referenced)} = "
            f"{len(free) + len(cached) + len(referenced)} of {self.num_ids}; free {free}, "
            f"cached {cached}, references { ({b: self._references[b] for b in referenced}) }, "
            f"pins {self._pins}, owners {owners}"
        )
        assert sorted(free + cached + referenced) == list(range(self.num_ids)), total
        for block_id in range(self.num_ids):
            count, pins = self._references[block_id], self._pins.get(block_id, 0)
            assert count >= pins >= 0, f"block {block_id}: {count} references, {pins} pins; {total}"
            if owners is not None:
                assert count == owners.get(block_id, 0) + pins, f"block {block_id}; {total}"
        self._content.check_integrity()
        assert all(self.hash_of(b) is not None for b in cached), f"cached without hash; {total}"
        assert all(self.hash_of(b) is None for b in free), f"free but findable; {total}"
