"""Who owns which KV block of a chip, and which blocks hold what somebody is about to compute.

A block is exactly one of

    free         no owner, no content worth keeping
    cached       no owner, but full and hashed: `match` finds it until it is evicted (oldest first)
    referenced   by sequences that share it, and by pins (somebody copies or will write it)

A block gets its content hash (`workers.kv.content`) only when its content is there (`commit`), and
is never written again while it has one.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq

from workers.kv.block_books import Books
from workers.kv.content import HASH_BYTES, Adoption, ContentIndex, Nobody, Watcher

__all__ = ["HASH_BYTES", "Adoption", "BlockManager"]


class BlockManager(Books):
    """Blocks 0 .. num_ids - 1, in the room of `num_blocks`, which is as many. Operations are O(1) a
    block and depend on nothing but calls.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        enable_prefix_caching: bool = True,
        salt: bytes = b"",
    ) -> None:
        """block_size in tokens. `salt` names what else KV depends on: model, weights, numerics."""
        if num_blocks < 1 or block_size < 1:
            sizes = f"num_blocks is {num_blocks} and block_size {block_size}"
            raise ValueError(f"{sizes}: both must be at least 1")
        self.num_blocks = self.num_ids = num_blocks
        self.block_size = block_size
        self.enable_prefix_caching = enable_prefix_caching
        self.num_evictions = 0
        self._content = ContentIndex(num_blocks, block_size, salt)
        self._free: deque[int] = deque(range(num_blocks))
        self._cached: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._references = [0] * num_blocks  # pins included
        self._pins: dict[int, int] = {}
        self._withheld = 0  # blocks whose room is somebody else's
        self.on_unpinned: Callable[[], None] = lambda: None  # some may be free: who waits looks
        self.watcher: Watcher = Nobody()

    # -- content hashes --------------------------------------------------------------------------

    def extend_hashes(self, hashes: list[bytes], token_ids: Seq[int], salt: bytes = b"") -> None:
        """Append the hashes of the full blocks of `token_ids` that `hashes` does not cover yet."""
        self._content.extend(hashes, token_ids, salt)

    def match(self, hashes: Iterable[bytes]) -> list[int]:
        """Blocks that hold the longest leading run of `hashes`. Changes nothing."""
        return self._content.match(hashes)

    def lookup(self, token_ids: Seq[int], salt: bytes = b"") -> int:
        """How many leading full blocks of `token_ids` are here. Changes nothing."""
        hashes: list[bytes] = []
        self.extend_hashes(hashes, token_ids, salt)
        return len(self.match(hashes))

    # -- owners ----------------------------------------------------------------------------------

    @property
    def num_free(self) -> int:
        """Blocks that could be allocated now: unused ones but those that are withheld."""
        return max(0, self._num_unused - self._withheld)

    @property
    def num_used(self) -> int:
        return self.num_blocks - self._num_unused

    @property
    def _num_unused(self) -> int:
        return len(self._free) + len(self._cached)

    def withhold(self, share: float) -> None:
        """So many are somebody else's from now on: unused ones, and others once they are unused."""
        self._withheld = math.ceil(self.num_blocks * share)
        self._shrink()
        self.on_unpinned()

    def _shrink(self) -> None:
        while self._cached and len(self._free) < self._withheld:
            self._free.append(self._evict())

    @property
    def num_cached(self) -> int:
        """Of `num_free`, those that still hold content."""
        return len(self._cached)

    @property
    def num_pinned(self) -> int:
        return len(self._pins)

    def references(self, block_id: int) -> int:
        """Owners of a block, pins included."""
        return self._references[block_id]

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that hold `num_tokens` tokens."""
        return -(-num_tokens // self.block_size)

    def can_allocate(self, num_new: int, shared: Iterable[int] = (), num_thin: int = 0) -> bool:
        """Is there room for `num_new` blocks, beside one more reference to `shared` (matched)?"""
        return num_new + sum(1 for b in shared if b in self._cached) <= self.num_free

    def allocate(self, num_new: int, shared: Seq[int] = (), num_thin: int = 0) -> list[int]:
        """Reference `shared` once more, then take `num_new` blocks, evicting if need be. Of these
        `num_thin` may be thin where there are such (`workers.kv.windowed`). Raises ValueError,
        changing nothing, if there is no room: ask `can_allocate` first.
        """
        if not self.can_allocate(num_new, shared):
            raise ValueError(
                f"{num_new} new blocks beside {len(shared)} shared ones do not fit: "
                f"{self.num_free} of {self.num_blocks} are free"
            )
        for block_id in shared:
            self._retain(block_id)
        return [*shared, *(self._take() for _ in range(num_new))]

    def append(self, block_ids: list[int], num_tokens: int) -> bool:
        """Grow `block_ids` to cover `num_tokens`; False, changing nothing, if there is no room."""
        num_new = self.blocks_for(num_tokens) - len(block_ids)
        if num_new > self.num_free:
            return False
        block_ids.extend(self._take() for _ in range(num_new))
        return True

    def free(self, block_ids: Seq[int]) -> None:
        """Drop one reference each. Last first: a chain's tail is evicted before its head."""
        for block_id in reversed(block_ids):
            assert self._references[block_id] > self._pins.get(block_id, 0), (
                f"block {block_id} freed by no owner: {self._references[block_id]} references, "
                f"{self._pins.get(block_id, 0)} of them pins"
            )
            self._drop(block_id)

    def pin(self, block_ids: Iterable[int]) -> None:
        """Keep these from eviction and reuse until `unpin`, whatever their sequences do."""
        for block_id in block_ids:
            self._retain(block_id)
            self._pins[block_id] = self._pins.get(block_id, 0) + 1

    def unpin(self, block_ids: Seq[int]) -> None:
        """Take back one `pin` each."""
        for block_id in reversed(block_ids):
            count = self._pins.get(block_id, 0)
            assert count, f"block {block_id} is not pinned"
            if count == 1:
                del self._pins[block_id]
            else:
                self._pins[block_id] = count - 1
            self._drop(block_id)
        if block_ids:
            self.on_unpinned()

    # -- content ---------------------------------------------------------------------------------

    def commit(self, block_id: int, content: bytes) -> None:
        """This block's content is there and full: others may find it by `content` from now on. If
        another block has that content already, this one stays private and nothing changes.
        """
        assert self._references[block_id], f"block {block_id} committed while nobody holds it"
        if self.enable_prefix_caching:
            self._content.put(block_id, content)

    def invalidate(self, block_ids: Iterable[int]) -> None:
        """Nobody may find these blocks any more: their content is corrupt. Owners keep them. What
        was computed from a corrupt block is corrupt too: if in doubt pass range(num_ids).
        """
        for block_id in block_ids:
            self.watcher.invalidated(self._content.forget(block_id))
            if block_id in self._cached:
                del self._cached[block_id]
                self._free.append(block_id)

    def adopt(self, hashes: Seq[bytes]) -> Adoption | None:
        """Pin room for blocks from elsewhere (a memory server's pool); None if there is none. Those
        that are here already are pinned as they are. Write `missing`, then call `install`.
        """
        if not self.enable_prefix_caching:
            return None  # nobody could find them
        present = [self._content.block_with(content) for content in hashes]
        here = [b for b in present if b is not None]
        if not self.can_allocate(len(present) - len(here), here):
            return None
        self.pin(here)
        block_ids: list[int] = []
        for found in present:
            if found is None:
                found = self._take()
                self._pins[found] = 1
            block_ids.append(found)
        missing = tuple(i for i, b in enumerate(present) if b is None)
        return Adoption(tuple(block_ids), tuple(hashes), missing)

    def install(self, adoption: Adoption, num_arrived: int | None = None) -> None:
        """The first `num_arrived` blocks (None: all) have their content: findable, and unpinned."""
        end = len(adoption.hashes) if num_arrived is None else num_arrived
        for i in adoption.missing:
            if i < end:
                self.commit(adoption.block_ids[i], adoption.hashes[i])
        self.unpin(adoption.block_ids)

    # -- inside ----------------------------------------------------------------------------------

    def _take(self) -> int:
        evicts = self._cached and len(self._free) <= self._withheld
        block_id = self._evict() if evicts else self._free.popleft()
        self._references[block_id] = 1
        return block_id

    def _evict(self) -> int:
        block_id, _ = self._cached.popitem(last=False)
        self.watcher.evicted(block_id, self._content.forget(block_id))
        self.num_evictions += 1
        return block_id

    def _retain(self, block_id: int) -> None:
        if not self._references[block_id]:
            del self._cached[block_id]  # a KeyError here: it has neither owner nor content
        self._references[block_id] += 1

    def _drop(self, block_id: int) -> None:
        self._references[block_id] -= 1
        if self._references[block_id]:
            return
        if self.hash_of(block_id) is None:
            self._free.append(block_id)
        else:
            self._cached[block_id] = None
            self._shrink()
