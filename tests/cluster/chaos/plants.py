"""Bugs as a tired engineer writes them, each put in for one test: a function that patches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.api.output import Output
from cluster.gateway.arrived import Arrived
from workers.chip.chip import Chip
from workers.chip.deadlines import Deadlines
from workers.kv.blocks import BlockManager
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.numerics import Digest
from workers.wire.incoming import Incoming
from workers.wire.kinds.chip import Aborted
from workers.wire.mail import Handover
from workers.wire.remembered import Remembered

Plant = Callable[[pytest.MonkeyPatch], None]


def checksum_skipped(patched: pytest.MonkeyPatch) -> None:
    """What arrives damaged is taken as it is."""
    patched.setattr(Handover, "unpack", lambda self, payload: payload)


def token_repeated(patched: pytest.MonkeyPatch) -> None:
    """What the router tells twice, because it did not hear that it was heard, is told twice."""

    def take(self: Arrived, output: Output) -> Sequence[Output]:
        return (output,)

    patched.setattr(Arrived, "take", take)


def combine_dropped(patched: pytest.MonkeyPatch) -> None:
    """One sum of fifty is lost, and nobody misses it."""
    right, calls = Digest.answered, [0]

    def answered(self: Digest, *args: Any) -> NDArray[Any]:
        calls[0] += 1
        sums = right(self, *args)
        return np.zeros_like(sums) if calls[0] % 50 == 0 else sums

    patched.setattr(Digest, "answered", answered)


def block_leaked(patched: pytest.MonkeyPatch) -> None:
    """Of a sequence of more than three blocks one is never free again."""
    right = BlockManager.free

    def free(self: BlockManager, block_ids: Sequence[int]) -> None:
        right(self, block_ids[:-1] if len(block_ids) > 3 else block_ids)

    patched.setattr(BlockManager, "free", free)


def block_freed_twice(patched: pytest.MonkeyPatch) -> None:
    """A freed block is given to two."""
    right = BlockManager.free

    def free(self: BlockManager, block_ids: Sequence[int]) -> None:
        right(self, block_ids)
        if block_ids and self.hash_of(block_ids[-1]) is None:
            self._free.append(block_ids[-1])

    patched.setattr(BlockManager, "free", free)


def stale_block_used(patched: pytest.MonkeyPatch) -> None:
    """The last block of a transfer is taken for written: what was there before is attended to."""
    right = DigestChip.write_blocks

    def write(self: DigestChip, ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        right(self, ids[:-1], blocks[:-1])

    patched.setattr(DigestChip, "write_blocks", write)


def ack_forgotten(patched: pytest.MonkeyPatch) -> None:
    """A call that is said again is not answered again."""
    patched.setattr(Incoming, "_answer_again", lambda self, peer, message_id: None)


def handled_twice(patched: pytest.MonkeyPatch) -> None:
    """A call that comes twice is done twice."""
    right = Remembered.begin

    def begin(self: Remembered, message_id: int, concluded: int) -> bool:
        right(self, message_id, concluded)
        return True

    patched.setattr(Remembered, "begin", begin)


def deadline_forgotten(patched: pytest.MonkeyPatch) -> None:
    """A chip lets go of nothing that nobody can tell it to let go of."""
    patched.setattr(Deadlines, "begin", lambda self, name, deadline_ns: None)


def cancel_forgotten(patched: pytest.MonkeyPatch) -> None:
    """An abort is acknowledged, and the sequence goes on."""
    patched.setattr(Chip, "_abort", lambda self, message: Aborted(known=True))


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        checksum_skipped, token_repeated, combine_dropped, block_leaked, block_freed_twice,
        stale_block_used, ack_forgotten, handled_twice, deadline_forgotten, cancel_forgotten,
    )
}  # fmt: skip
