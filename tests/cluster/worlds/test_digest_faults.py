"""What no checksum finds, as it goes wrong before one is made or after it was looked at, a digest
finds: each of these, planted into one worker of a cluster, changes an answer.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run
from workers.memory.near_room import NearRoom
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.form import DigestForm
from workers.model.digest.numerics import Digest
from workers.model.digest.shipped import ShippedDigests
from workers.model.parts.partial import Part

Patch = Callable[[pytest.MonkeyPatch], None]
DIGEST: Mapping[str, object] = {"model.numerics": "digest", "cluster.nodes.prefill": None,
                                "cluster.nodes.decode": None,
                                "cluster.nodes.chip": {"workers": ["chip"], "device": "h100-sxm",
                                                       "link": "lowlat-2us"}}  # fmt: skip
APART: Mapping[str, object] = {"model.numerics": "digest", "cluster.nodes.decode.count": 1}
# All share their first two blocks, and the last is the first again; one after the other, so that
# the pool has what is asked for.
SHARED = prompt(7, 32)
REQUESTS = [
    request(f"r{i}", prompt_ids=(*SHARED, *prompt(i % 3, 40)), max_tokens=24) for i in range(4)
]


def tokens(changes: Mapping[str, object]) -> list[list[int]]:
    async def job(world: VirtualWorld) -> list[list[int]]:
        heard = await ask_all(world, REQUESTS, apart_ns=3_000_000)
        assert not any(one.code for one in heard)
        return [one.tokens for one in heard]

    return run(blueprint(changes), job)


def every(number: int, change: Callable[[Any], Any], patched: pytest.MonkeyPatch, *at: Any) -> None:
    """What the method `at` returns is changed, each so many times."""
    owner, name = at
    right, calls = getattr(owner, name), [0]

    def method(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        found = right(*args, **kwargs)
        return change(found) if calls[0] % number == 0 else found

    patched.setattr(owner, name, method)


def first_block_again(patched: pytest.MonkeyPatch) -> None:
    def again(blocks: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(blocks[:1], len(blocks), axis=0)

    every(1, again, patched, DigestChip, "read_blocks")


def block_not_written(patched: pytest.MonkeyPatch) -> None:
    """The last of those that came stays what it was."""
    right = DigestChip.write_blocks

    def write(self: DigestChip, ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        right(self, ids[:-1], blocks[:-1])

    patched.setattr(DigestChip, "write_blocks", write)


def flipped(array: NDArray[Any]) -> NDArray[Any]:
    found = array.copy()
    found.reshape(-1).view(np.uint8)[3] ^= 16
    return found


def bit_flipped_in_a_block(patched: pytest.MonkeyPatch) -> None:
    every(1, flipped, patched, DigestChip, "read_blocks")


def sum_lost(patched: pytest.MonkeyPatch) -> None:
    every(50, np.zeros_like, patched, Digest, "answered")


def sum_of_another_time(patched: pytest.MonkeyPatch) -> None:
    """A stale answer of the same shape."""
    kept: dict[Any, NDArray[Any]] = {}

    def older(sums: NDArray[Any]) -> NDArray[Any]:
        before = kept.get(sums.shape, sums)
        kept[sums.shape] = sums
        return before

    every(1, older, patched, Digest, "answered")


def sum_flipped(patched: pytest.MonkeyPatch) -> None:
    every(50, flipped, patched, Digest, "answered")


def row_flipped(patched: pytest.MonkeyPatch) -> None:
    every(50, flipped, patched, Digest, "received")


def sum_added_twice(patched: pytest.MonkeyPatch) -> None:
    right, calls = Digest.add, [0]

    def add(self: Digest, sums: Any, places: Any, partial: Any) -> None:
        calls[0] += 1
        for _ in range(2 if calls[0] % 50 == 0 else 1):
            right(self, sums, places, partial)

    patched.setattr(Digest, "add", add)


def answers_of_two_swapped(patched: pytest.MonkeyPatch) -> None:
    """Tokens of one dispatch have each other's sums."""
    every(1, lambda sums: sums[::-1].copy(), patched, Digest, "answered")


def near_part_lost(patched: pytest.MonkeyPatch) -> None:
    def nothing(part: Part) -> Part:
        return Part(np.zeros_like(part.out_TND), part.lse_TN)

    every(20, nothing, patched, DigestForm, "attend_all")


def near_block_of_others(patched: pytest.MonkeyPatch) -> None:
    """The next sequence's block is attended to in place of one's own."""
    every(1, lambda places: [place + 1 for place in places], patched, NearRoom, "places")


def piece_lost(patched: pytest.MonkeyPatch) -> None:
    every(30, np.zeros_like, patched, ShippedDigests, "piece")


def piece_flipped(patched: pytest.MonkeyPatch) -> None:
    every(30, flipped, patched, ShippedDigests, "piece")


CLUSTERS: Mapping[str, Mapping[str, object]] = {
    "whole": DIGEST,
    "apart": APART,
    "near": {**DIGEST, "placement.kv_near": {"keep": 1}},
    "ship": {**DIGEST, "placement.experts.mode": "ship"},
}  # fmt: skip
PLANTED: list[tuple[Patch, str]] = [
    (first_block_again, "apart"),
    (block_not_written, "apart"),
    (bit_flipped_in_a_block, "apart"),
    (sum_lost, "whole"),
    (sum_of_another_time, "whole"),
    (sum_flipped, "whole"),
    (row_flipped, "whole"),
    (sum_added_twice, "whole"),
    (answers_of_two_swapped, "whole"),
    (near_part_lost, "near"),
    (near_block_of_others, "near"),
    (piece_lost, "ship"),
    (piece_flipped, "ship"),
]


@cache
def right(cluster: str) -> list[list[int]]:
    """Its tokens as long as nothing is planted; wherever things lie, the text is the same."""
    found = tokens(CLUSTERS[cluster])
    assert cluster == "whole" or found == right("whole")
    return found


@pytest.mark.parametrize(("plant", "cluster"), PLANTED, ids=[p.__name__ for p, _ in PLANTED])
def test_what_goes_wrong_changes_the_text(
    plant: Patch, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = right(cluster)
    plant(monkeypatch)
    assert tokens(CLUSTERS[cluster]) != expected
