"""KV blocks of a model with windows: those behind the window of all their owners are `spare`, and
become thin when somebody needs the room (`configs.sliding`).

    whole ── slid by all owners ──▶ spare ── room is needed ──▶ thin
      ▲                               │
      └── somebody needs it whole ────┘

A spare block keeps its content, and is found by it, as a cached one is; a thin one has no name.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Seq

from configs.sliding import Sliding
from workers.kv.blocks import BlockManager


class WindowedBlocks(BlockManager):
    """Room is that of `num_blocks` whole blocks; ids there are more, for thin ones."""

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        enable_prefix_caching: bool = True,
        salt: bytes = b"",
        *,
        sliding: Sliding,
        num_ids: int,
    ) -> None:
        super().__init__(num_ids, block_size, enable_prefix_caching, salt)
        self.num_blocks, self.sliding = num_blocks, sliding
        self._room = num_blocks * sliding.layers
        self._slid = [0] * num_ids  # owners that have slid past it
        self._spare: OrderedDict[int, None] = OrderedDict()  # least recent first
        self._thin: set[int] = set()

    # -- room --------------------------------------------------------------------------------------

    @property
    def _num_referenced(self) -> int:
        return self.num_ids - len(self._free) - len(self._cached)

    @property
    def _needed(self) -> int:
        """Of referenced blocks, were all spare ones thin."""
        light = len(self._thin) + len(self._spare)
        return self.sliding.layers * self._num_referenced - self.sliding.windowed * light

    @property
    def _used(self) -> int:
        there = self.num_ids - len(self._free)
        return self.sliding.layers * there - self.sliding.windowed * len(self._thin)

    @property
    def _num_unused(self) -> int:
        return min((self._room - self._needed) // self.sliding.layers, super()._num_unused)

    @property
    def _num_there(self) -> int:
        """Room that is not withheld, in layers."""
        return self._room - self._withheld * self.sliding.layers

    def _shrink(self) -> None:
        while self._cached and self._used > self._num_there:
            self._make_room()

    def can_allocate(self, num_new: int, shared: Iterable[int] = (), num_thin: int = 0) -> bool:
        sliding, ids = self.sliding, num_new
        wanted = sliding.layers * num_new - sliding.windowed * num_thin
        for block_id in shared:
            if block_id in self._cached:
                wanted, ids = wanted + sliding.layers, ids + 1
            elif block_id in self._spare:
                wanted += sliding.windowed
        return wanted <= self._num_there - self._needed and ids <= super()._num_unused

    def allocate(self, num_new: int, shared: Seq[int] = (), num_thin: int = 0) -> list[int]:
        """The first `num_thin` of the new ones are thin from the start."""
        if not self.can_allocate(num_new, shared, num_thin):
            raise ValueError(
                f"{num_new} new blocks, {num_thin} of them thin, beside {len(shared)} shared ones "
                f"do not fit: {self.num_free} of {self.num_blocks} are free"
            )
        for block_id in shared:
            self._retain(block_id)
        thin = [self._take(thin=True) for _ in range(num_thin)]
        return [*shared, *thin, *(self._take() for _ in range(num_new - num_thin))]

    def _take(self, *, thin: bool = False) -> int:
        wanted = self.sliding.thin if thin else self.sliding.layers
        while self._used + wanted > self._num_there or not self._free:
            self._make_room()
        block_id = self._free.popleft()
        self._references[block_id] = 1
        if thin:
            self._thin.add(block_id)
        return block_id

    def _make_room(self) -> None:
        """A cached block goes, or else a spare one becomes thin."""
        if self._cached:
            self._free.append(self._evict())
            return
        block_id, _ = self._spare.popitem(last=False)
        content = self._content.forget(block_id)
        if content is not None:
            self.watcher.evicted(block_id, content)
        self._thin.add(block_id)

    # -- owners ------------------------------------------------------------------------------------

    def slide(self, block_ids: Iterable[int]) -> None:
        """One owner each needs no windowed layer of these any more."""
        for block_id in block_ids:
            self._slid[block_id] += 1
            self._look(block_id)

    def free_slid(self, block_ids: Seq[int]) -> None:
        """As `free`, by owners who had slid past them."""
        for block_id in block_ids:
            self._slid[block_id] -= 1
        self.free(block_ids)

    def is_thin(self, block_id: int) -> bool:
        return block_id in self._thin

    def commit(self, block_id: int, content: bytes) -> None:
        """A thin block has not all of it."""
        if block_id not in self._thin:
            super().commit(block_id, content)

    def _look(self, block_id: int) -> None:
        """Whether all owners have slid past it; pins have not."""
        count = self._references[block_id]
        if count and self._slid[block_id] == count and block_id not in self._thin:
            self._spare[block_id] = None
        else:
            self._spare.pop(block_id, None)

    def _retain(self, block_id: int) -> None:
        super()._retain(block_id)
        self._look(block_id)

    def _drop(self, block_id: int) -> None:
        super()._drop(block_id)
        self._look(block_id)
        if not self._references[block_id]:
            self._thin.discard(block_id)

    # -- invariants --------------------------------------------------------------------------------

    def check_integrity(self, owners: Mapping[int, int] | None = None) -> None:
        super().check_integrity(owners)
        assert self._used <= self._room, f"{self._used} of {self._room} are used"
        for block_id in range(self.num_ids):
            count, slid = self._references[block_id], self._slid[block_id]
            assert 0 <= slid <= count, f"block {block_id}: {slid} of {count} owners slid"
            is_spare = bool(count) and slid == count and block_id not in self._thin
            assert (block_id in self._spare) == is_spare, f"block {block_id}: spare or not"
            if block_id in self._thin:
                assert count, f"block {block_id} is thin and nobody's"
                assert self.hash_of(block_id) is None, f"block {block_id} is thin and findable"
