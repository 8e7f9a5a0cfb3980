"""Digest chips of several ranks: the reference's tokens whatever the degrees, charges of the real
model's ranks, and what goes wrong between ranks shows in the text.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.presets import ROOT
from tests.cluster.worlds.chips_of_ranks import CHIP, NO_OTHERS, degrees, of_digests
from tests.cluster.worlds.cluster import MODEL, ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Delivered
from workers.model.digest.mixing import Digests
from workers.model.digest.rank import DigestRank

DIGEST: Mapping[str, object] = {"model.numerics": "digest", "placement.kv_pool": False}
SIZES = [(0, 40, 9), (1, 3, 5), (2, 70, 12), (3, 17, 6)]


def served(
    changes: Mapping[str, object], *, through_frames: bool = False
) -> tuple[list[list[int]], dict[str, Counter[int]]]:
    """Tokens, and of each kind the bytes of its messages."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], dict[str, Counter[int]]]:
        wanted = [
            request(f"r{i}", prompt_ids=prompt(i, length), max_tokens=count)
            for i, length, count in SIZES
        ]
        heard = await ask_all(world, wanted)
        assert not any(one.code for one in heard)
        await settle(world)
        found: dict[str, Counter[int]] = {}
        for record in world.trace.records:
            if isinstance(record, Delivered):
                found.setdefault(record.kind, Counter())[record.num_bytes] += 1
        return [one.tokens for one in heard], found

    return run(blueprint(changes), job, through_frames=through_frames)


def expected() -> list[list[int]]:
    return of_digests()[: len(SIZES)]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "groups",
    [
        {"decode": (2, 1)},
        {"decode": (1, 2)},
        {"decode": (2, 2)},
        {"prefill": (2, 1)},
        {"prefill": (4, 1), "decode": (1, 4)},
        {"prefill": (2, 2), "decode": (4, 1)},
    ],
    ids=str,
)
def test_every_degree_gives_the_reference_tokens(
    groups: dict[str, tuple[int, int]], dtype: str
) -> None:
    changes = {**DIGEST, **degrees(**groups), "model.dtype": dtype, "model.micro_batches": 2}
    found, kinds = served(changes)
    assert found == expected()
    assert kinds["step"] and kinds["kv_part"]
    assert ("piece" in kinds) == any(tensor > 1 for tensor, _ in groups.values())
    assert ("stage_rows" in kinds) == any(pipeline > 1 for _, pipeline in groups.values())


@pytest.mark.parametrize(("tensor", "pipeline"), [(2, 1), (1, 2), (2, 2)])
def test_a_chip_that_does_both_may_have_ranks(tensor: int, pipeline: int) -> None:
    chip = {**CHIP, "tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    changes = {**DIGEST, **NO_OTHERS, "cluster.nodes.chip": chip}
    assert served(changes, through_frames=True)[0] == expected()


@pytest.mark.parametrize(
    "groups",
    [{"prefill": (2, 1), "decode": (2, 2)}, {"decode": (4, 1)}, {"prefill": (1, 2)}],
    ids=str,
)
def test_links_are_charged_what_ranks_of_the_real_model_send(
    groups: dict[str, tuple[int, int]],
) -> None:
    """But for dispatches and their answers, as other experts are chosen, and for what says how far
    a stream is.
    """
    real, digest = served(degrees(**groups))[1], served({**DIGEST, **degrees(**groups)})[1]
    for kind in ("kv_part", "stage_rows", "piece", "share", "step", "kv_send", "expect_kv"):
        assert digest.get(kind) == real.get(kind), kind
    assert digest["kv_part"]


def changed(
    name: str, change: Callable[[DigestRank, Any], Any], every: int
) -> Callable[[pytest.MonkeyPatch], None]:
    """What a method of the ranks that hold the later units returns is changed, now and then."""

    def plant(patched: pytest.MonkeyPatch) -> None:
        right, calls = getattr(DigestRank, name), [0]

        def method(self: DigestRank, *args: Any) -> Any:
            found = right(self, *args)
            if self.part.heads is None or not self.part.heads.first:
                return found
            calls[0] += 1
            return change(self, found) if calls[0] % every == 0 else found

        patched.setattr(DigestRank, name, method)

    return plant


def lost(_: DigestRank, share_T: Digests) -> Digests:
    return np.zeros_like(share_T)


def twice(_: DigestRank, share_T: Digests) -> Digests:
    return share_T * np.uint64(2)


def of_the_next_row(_: DigestRank, share_T: Digests) -> Digests:
    """A foreign contribution: another token's, of the same units."""
    return np.roll(share_T, 1)


def of_other_units(self: DigestRank, blocks: Any) -> Any:
    """Each block as if the first unit's keys were those of all units."""
    return np.repeat(blocks[:, :, :, :1], blocks.shape[3], axis=3)


def part_not_written(patched: pytest.MonkeyPatch) -> None:
    """What came from another chip for the later units never reaches their blocks."""
    right = DigestRank.write_part

    def write(self: DigestRank, ids: tuple[int, ...], part: Any, blocks: Any) -> None:
        if not part.heads.first:
            right(self, ids, part, blocks)

    patched.setattr(DigestRank, "write_part", write)


BOTH: Mapping[str, object] = {**DIGEST, **degrees(prefill=(2, 1), decode=(2, 2))}
PLANTED = {
    "share lost": (changed("_share", lost, 7), BOTH),
    "share twice": (changed("_share", twice, 7), BOTH),
    "share of another token": (changed("_share", of_the_next_row, 1), BOTH),
    "keys of another unit": (changed("read_blocks", of_other_units, 1), BOTH),
    "part lost": (part_not_written, {**DIGEST, **degrees(decode=(2, 1))}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_goes_wrong_between_ranks_changes_the_text(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, changes = PLANTED[name]
    assert served(changes)[0] == expected()
    plant(monkeypatch)
    assert served(changes)[0] != expected()


@pytest.mark.parametrize(
    "groups",
    [
        {"prefill": (2, 1), "decode": (4, 2)},
        {"decode": (8, 1)},
        {"prefill": (8, 1), "decode": (1, 2)},
    ],
    ids=str,
)
def test_every_rank_holds_the_latent(groups: dict[str, tuple[int, int]], tmp_path: Path) -> None:
    """DeepSeek-V3, small in experts and layers alone: one dense layer, then two sparse ones with a
    shared expert.
    """
    sizes = json.loads((ROOT / "scenarios" / "models" / "deepseek-v3.json").read_text())
    few = {"num_hidden_layers": 3, "first_k_dense_replace": 1, "n_routed_experts": 16}
    (tmp_path / "config.json").write_text(json.dumps(sizes | few))
    model = {"model.path": str(tmp_path), "model.served_name": MODEL, "model.max_model_len": 512}
    alone, kinds = served({**DIGEST, **model})
    found, split = served({**DIGEST, **model, **degrees(**groups)}, through_frames=True)
    assert found == alone
    assert split["kv_part"] and split["piece"] and "piece" not in kinds
