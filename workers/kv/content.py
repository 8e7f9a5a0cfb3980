"""What full blocks hold: their content hashes, and which block has which.

A block's hash chains over its parent's hash and its own tokens, so equal hashes mean equal
prefixes. It is the same in every process and run, and so names the block in the memory servers'
pool as well.
"""

import hashlib
import struct
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol

HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Adoption:
    """Blocks pinned for content from elsewhere: block_ids[i] is or will be that of hashes[i].

    missing   indexes whose content is not here and has to be written before `install`
    """

    block_ids: tuple[int, ...]
    hashes: tuple[bytes, ...]
    missing: tuple[int, ...]


class Watcher(Protocol):
    """Is told, before anything is written there, what a chip's blocks lose."""

    def evicted(self, block_id: int, content: bytes | None) -> None:
        """The block is somebody else's from now on, who has not written it yet."""
        ...

    def invalidated(self, content: bytes | None) -> None:
        """Nobody may use this content any more, wherever it lies."""
        ...


class Nobody:
    """Where nobody watches."""

    def evicted(self, block_id: int, content: bytes | None) -> None:
        """It is computed again when it is asked for again."""

    def invalidated(self, content: bytes | None) -> None:
        """There is no other copy."""


class ContentIndex:
    """Content hashes of blocks 0 .. num_blocks - 1, at most one block to a hash."""

    def __init__(self, num_blocks: int, block_size: int, salt: bytes) -> None:
        """block_size in tokens. `salt` names what else KV depends on: model, weights, numerics."""
        self._block_size = block_size
        self._base = _digest(salt, b"perfuse-salt")
        self._pack = struct.Struct(f"<{block_size}q").pack
        self._hash_of: list[bytes | None] = [None] * num_blocks
        self._by_hash: dict[bytes, int] = {}

    def extend(self, hashes: list[bytes], token_ids: Seq[int], salt: bytes) -> None:
        """Append the hashes of the full blocks of `token_ids` that `hashes` does not cover yet."""
        size = self._block_size
        parent = hashes[-1] if hashes else _digest(self._base + salt, b"perfuse-root")
        for end in range((len(hashes) + 1) * size, len(token_ids) + 1, size):
            parent = _digest(parent + self._pack(*token_ids[end - size : end]), b"perfuse-block")
            hashes.append(parent)

    def block_with(self, content: bytes) -> int | None:
        return self._by_hash.get(content)

    def match(self, hashes: Iterable[bytes]) -> list[int]:
        """Blocks that hold the longest leading run of `hashes`."""
        found: list[int] = []
        for content in hashes:
            block_id = self._by_hash.get(content)
            if block_id is None:
                break
            found.append(block_id)
        return found

    def hash_of(self, block_id: int) -> bytes | None:
        return self._hash_of[block_id]

    def put(self, block_id: int, content: bytes) -> None:
        """`block_id` has this content; if another block has it already, nothing changes."""
        if content in self._by_hash:
            return
        old = self._hash_of[block_id]
        assert old is None, f"block {block_id} holds {old!r} and was written again"
        self._hash_of[block_id] = content
        self._by_hash[content] = block_id

    def forget(self, block_id: int) -> bytes | None:
        """Returns what it had, if it had a hash."""
        content = self._hash_of[block_id]
        if content is not None:
            del self._by_hash[content]
            self._hash_of[block_id] = None
        return content

    def check_integrity(self) -> None:
        """Assert that hash of block and block of hash are each other's reverse."""
        hashed = {content: b for b, content in enumerate(self._hash_of) if content is not None}
        assert hashed == self._by_hash, f"hashed {hashed}, by hash {self._by_hash}"
        assert len(hashed) == sum(content is not None for content in self._hash_of), hashed


def _digest(data: bytes, person: bytes) -> bytes:
    """`person` (at most 16 bytes) keeps salts, roots and blocks from ever meeting in one hash."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES, person=person).digest()
