"""The block manager against a naive one, and the rules that others rely on."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.hash_seeds import printed_under
from workers.kv.blocks import BlockManager

SIZE = 2


def hashes_of(blocks: BlockManager, tokens: list[int], salt: bytes = b"") -> list[bytes]:
    hashes: list[bytes] = []
    blocks.extend_hashes(hashes, tokens, salt)
    return hashes


def cache(blocks: BlockManager, tokens: list[int]) -> list[int]:
    """Compute `tokens` (whole blocks) and let them go; returns their blocks."""
    hashes = hashes_of(blocks, tokens)
    hits = blocks.match(hashes)
    ids = blocks.allocate(len(hashes) - len(hits), hits)
    for block_id, content in zip(ids, hashes, strict=True):
        blocks.commit(block_id, content)
    blocks.free(ids)
    return ids


class BlocksMachine(RuleBasedStateMachine):
    """The model keeps a plain list of owners, and the cached blocks in a list, oldest first."""

    @initialize(num_blocks=st.integers(1, 9), caching=st.booleans())
    def start(self, num_blocks: int, caching: bool) -> None:
        self.blocks = BlockManager(num_blocks, SIZE, caching)
        self.caching = caching
        self.owners: list[tuple[list[int], list[bytes]]] = []
        self.pins: list[list[int]] = []
        self.lru: list[int] = []  # cached and unreferenced
        self.content: dict[int, bytes] = {}

    def referenced(self) -> list[int]:
        return [b for ids, _ in self.owners for b in ids] + [b for ids in self.pins for b in ids]

    def taken(self, ids: list[int], num_shared: int) -> None:
        """`ids` were allocated: never a block in use, and cached ones only oldest first."""
        shared, new = ids[:num_shared], ids[num_shared:]
        self.lru = [b for b in self.lru if b not in shared]
        in_use = self.referenced()
        for block_id in new:
            assert block_id not in in_use
            if block_id in self.content:
                assert block_id == self.lru.pop(0)
                del self.content[block_id]

    def let_go(self, ids: list[int]) -> None:
        in_use = self.referenced()
        for block_id in reversed(ids):
            if block_id not in in_use and block_id in self.content:
                self.lru.append(block_id)

    @rule(tokens=st.lists(st.integers(0, 1), max_size=8), extra=st.integers(0, 3))
    def allocate(self, tokens: list[int], extra: int) -> None:
        hashes = hashes_of(self.blocks, tokens)
        hits = self.blocks.match(hashes)
        by_hash = {content: b for b, content in self.content.items()}
        expected: list[int] = []
        for content in hashes:
            if content not in by_hash:
                break
            expected.append(by_hash[content])
        assert hits == expected
        assert self.blocks.lookup(tokens) == len(hits)
        num_new = len(hashes) - len(hits) + extra
        left = self.blocks.num_blocks - len({*self.referenced(), *hits})
        assert self.blocks.can_allocate(num_new, hits) == (num_new <= left)
        if num_new > left:
            with pytest.raises(ValueError, match="do not fit"):
                self.blocks.allocate(num_new, hits)
            return
        ids = self.blocks.allocate(num_new, hits)
        assert ids[: len(hits)] == hits
        self.taken(ids, len(hits))
        self.owners.append((ids, hashes))

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        ids, hashes = data.draw(st.sampled_from(self.owners))
        for block_id, content in zip(ids, hashes, strict=False):
            self.blocks.commit(block_id, content)
            if self.caching and content not in self.content.values():
                self.content[block_id] = content

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), num_tokens=st.integers(0, 12))
    def append(self, data: st.DataObject, num_tokens: int) -> None:
        ids, _ = data.draw(st.sampled_from(self.owners))
        before = list(ids)
        want = -(-num_tokens // SIZE) - len(ids)
        left = self.blocks.num_blocks - len(set(self.referenced()))
        assert self.blocks.append(ids, num_tokens) == (want <= left)
        new = ids[len(before) :]
        assert len(new) == (max(want, 0) if want <= left else 0)
        del ids[len(before) :]
        self.taken(new, 0)
        ids.extend(new)

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.owners) - 1))
        ids, _ = self.owners.pop(index)
        self.blocks.free(ids)
        self.let_go(ids)

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        ids, _ = data.draw(st.sampled_from(self.owners))
        self.blocks.pin(ids)
        self.pins.append(list(ids))

    @precondition(lambda self: self.pins)
    @rule()
    def unpin(self) -> None:
        ids = self.pins.pop()
        self.blocks.unpin(ids)
        self.let_go(ids)

    @rule(block=st.integers(0, 8))
    def invalidate(self, block: int) -> None:
        if block < self.blocks.num_blocks:
            self.blocks.invalidate([block])
            self.content.pop(block, None)
            self.lru = [b for b in self.lru if b != block]

    @rule(tokens=st.lists(st.integers(0, 1), max_size=8), arrived=st.integers(0, 4))
    def adopt(self, tokens: list[int], arrived: int) -> None:
        hashes = hashes_of(self.blocks, tokens)
        by_hash = {content: b for b, content in self.content.items()}
        here = [by_hash[c] for c in hashes if c in by_hash]
        left = self.blocks.num_blocks - len({*self.referenced(), *here})
        adoption = self.blocks.adopt(hashes)
        assert (adoption is not None) == (self.caching and len(hashes) - len(here) <= left)
        if adoption is None:
            return
        assert [adoption.hashes[i] for i in adoption.missing] == [
            c for c in hashes if c not in by_hash
        ]
        new = [adoption.block_ids[i] for i in adoption.missing]
        self.taken([*here, *new], len(here))
        self.blocks.check_integrity()
        self.blocks.install(adoption, arrived)
        for i in adoption.missing:
            if i < arrived:
                self.content[adoption.block_ids[i]] = adoption.hashes[i]
        self.let_go(list(adoption.block_ids))

    @invariant()
    def agrees(self) -> None:
        owners: dict[int, int] = {}
        for ids, _ in self.owners:
            for block_id in ids:
                owners[block_id] = owners.get(block_id, 0) + 1
        self.blocks.check_integrity(owners)
        assert self.blocks.num_free == self.blocks.num_blocks - len(set(self.referenced()))
        assert self.blocks.num_cached == len(self.lru)
        for block_id in range(self.blocks.num_blocks):
            assert self.blocks.hash_of(block_id) == self.content.get(block_id)


TestBlocks = BlocksMachine.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_least_recently_used_content_is_evicted_first_and_tails_before_heads() -> None:
    blocks = BlockManager(4, SIZE)
    old, new = [1, 1, 2, 2], [3, 3, 4, 4]
    cache(blocks, old)
    cache(blocks, new)
    cache(blocks, old)  # used again: now `new` is the oldest
    assert (blocks.num_free, blocks.num_cached) == (4, 4)
    taken = blocks.allocate(1)
    assert (blocks.lookup(old), blocks.lookup(new)) == (2, 1)
    taken += blocks.allocate(2)
    assert (blocks.lookup(old), blocks.lookup(new)) == (1, 0)
    assert blocks.num_evictions == 3
    blocks.check_integrity(dict.fromkeys(taken, 1))


def test_a_hash_depends_on_everything_before_it() -> None:
    blocks = BlockManager(4, SIZE)
    cache(blocks, [1, 2, 3, 4])
    assert blocks.lookup([1, 2, 3, 4]) == 2
    assert blocks.lookup([1, 2, 3, 5]) == 1
    assert blocks.lookup([3, 4]) == 0
    assert blocks.lookup([1, 2, 3, 4], salt=b"tenant") == 0


def test_hashes_extend_as_tokens_come_and_never_cover_a_partial_block() -> None:
    blocks = BlockManager(4, 3)
    tokens = [5, 2**40, -1, 7, 8, 9, 10]
    whole, grown = hashes_of(blocks, tokens), []
    for end in range(len(tokens) + 1):
        blocks.extend_hashes(grown, tokens[:end])
        assert grown == whole[: end // 3]
    assert len(whole) == 2


def test_hashes_are_the_same_in_every_process() -> None:
    """Chips of different processes name a pool's blocks alike, whatever PYTHONHASHSEED is."""
    code = (
        "from workers.kv.blocks import BlockManager\n"
        "h = []\n"
        "BlockManager(4, 2, salt=b'm').extend_hashes(h, [1, 2, 3, 4], b's')\n"
        "print(b''.join(h).hex())"
    )
    here = BlockManager(9, 2, salt=b"m")
    expected = b"".join(hashes_of(here, [1, 2, 3, 4], b"s")).hex()
    for seed in ("1", "2"):
        assert printed_under(seed, code).strip() == expected
    assert hashes_of(BlockManager(4, 2, salt=b"n"), [1, 2], b"s") != hashes_of(here, [1, 2], b"s")


def test_the_second_copy_of_a_content_stays_private() -> None:
    blocks = BlockManager(4, SIZE)
    content = hashes_of(blocks, [1, 2])[0]
    first, second = blocks.allocate(1), blocks.allocate(1)
    blocks.commit(first[0], content)
    blocks.commit(second[0], content)
    assert blocks.match([content]) == first
    blocks.free(second)
    assert (blocks.num_cached, blocks.num_free) == (0, 3)
    blocks.free(first)
    assert (blocks.num_cached, blocks.num_free) == (1, 4)


def test_a_pinned_block_survives_its_sequence() -> None:
    blocks = BlockManager(2, SIZE)
    ids = blocks.allocate(1)
    blocks.commit(ids[0], hashes_of(blocks, [1, 2])[0])
    blocks.pin(ids)
    blocks.free(ids)
    assert not blocks.can_allocate(2)
    with pytest.raises(AssertionError, match="freed by no owner"):
        blocks.free(ids)
    blocks.unpin(ids)
    assert blocks.can_allocate(2)
    assert blocks.lookup([1, 2]) == 1


def test_integrity_prints_the_whole_sum() -> None:
    blocks = BlockManager(3, SIZE)
    blocks.allocate(1)
    with pytest.raises(AssertionError, match=r"free 2 \+ cached 0 \+ referenced 1 = 3 of 3"):
        blocks.check_integrity({})


@pytest.mark.parametrize(("num_blocks", "block_size"), [(0, 4), (4, 0)])
def test_sizes_below_one_are_refused(num_blocks: int, block_size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BlockManager(num_blocks, block_size)
