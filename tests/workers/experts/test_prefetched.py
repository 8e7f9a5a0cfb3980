"""Experts in flash, read ahead as the next layer's gate predicts: sooner, never different."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.presets import model_folder
from configs.schema import ScenarioError
from tests.cluster.worlds.cluster import ask, ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Delivered
from workers.model.base import StepLayout, StepSequence
from workers.model.factory import open_chip
from workers.model.numerics import EXACT_NUMERICS
from workers.model.pregate import Pregate
from workers.wire.kind import ENVELOPE_BYTES
from workers.wire.kinds.experts import ExpertHint

FLASH: Mapping[str, Any] = {
    "cluster.nodes.experts.device": "b200-h3",
    "placement.experts_tier": "hbf",
    "placement.kv_pool": False,
}
AHEAD = {**FLASH, "placement.experts_prefetch": True}


async def answers(world: VirtualWorld, num: int = 3) -> tuple[list[list[int]], int, dict[str, int]]:
    """Tokens, when the last came, and what all nodes counted."""
    wanted = [request(f"r{n}", prompt_ids=prompt(n, 40), max_tokens=20) for n in range(num)]
    heard = await ask_all(world, wanted)
    assert all(one.code == "" for one in heard)
    counts: dict[str, int] = {}
    for seat in world.seats.values():
        for what, count in (await seat.counts()).items():
            counts[what] = counts.get(what, 0) + count
    ended_ns = max(one.ended_ns for one in heard)
    await settle(world)
    return [one.tokens for one in heard], ended_ns, counts


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_reads_that_are_hidden_take_no_time_and_tokens_are_the_same(micro_batches: int) -> None:
    """A read of H3's flash takes 20 us, of which what passes between two layers is hidden."""
    how = {"model.micro_batches": micro_batches}
    tokens, ended_ns, counts = run(blueprint({**FLASH, **how}), answers)
    same, sooner_ns, ahead = run(blueprint({**AHEAD, **how}), answers)
    assert same == tokens
    assert sooner_ns < 0.95 * ended_ns
    assert ahead["prefetch_hits"] > 0 < ahead["prefetch_misses"], "nobody guesses the first layer"
    assert not any(what.startswith("prefetch") for what in counts)


def test_wrong_guesses_cost_bandwidth_and_change_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those that the gate would choose. Two experts fit into the buffer's half."""
    tokens, ended_ns, _ = run(blueprint(FLASH), answers)
    right = Pregate.guess

    def wrong(self: Pregate, layer: int, rows_TH: Any) -> Any:
        everybody = np.arange(self._config.num_experts, dtype=np.int32)
        return np.setdiff1d(everybody, right(self, layer, rows_TH)).astype(np.int32)

    monkeypatch.setattr(Pregate, "guess", wrong)
    small = {"base": "b200-h3", "tiers": {"hbf": {"buffer": "400 KiB"}}}
    same, later_ns, counts = run(
        blueprint({**AHEAD, "cluster.nodes.experts.device": small}), answers
    )
    assert same == tokens
    assert later_ns >= ended_ns
    assert counts["prefetch_wasted_bytes"] > 10 * counts["prefetch_hits"] * 98_304
    assert counts["prefetch_no_room"] > 0


def test_a_dead_shard_hears_no_hints_and_nothing_is_left_of_them() -> None:
    """One stream is under way when a shard dies: it ends, and no call is open afterwards."""

    async def job(world: VirtualWorld) -> None:
        long = request("long", prompt_ids=prompt(0, 40), max_tokens=40)
        reading = world.gateway.spawn(ask(world, long), "long")
        await world.clock.wait_until(world.clock.now() + 1_000_000)
        await world.kill("experts-1")
        heard = await reading
        assert heard.code and heard.tokens, "an expert of its own was there"
        await settle(world, dead=("experts-1",))

    run(blueprint(AHEAD), job)


def test_a_hint_is_a_message_of_4_bytes_an_expert() -> None:
    hint = ExpertHint(3, np.array([5, 1, 2], dtype=np.int32))

    async def job(world: VirtualWorld) -> list[Delivered]:
        await answers(world, 1)
        return [r for r in world.trace.records if isinstance(r, Delivered)]

    told = run(blueprint(AHEAD), job)
    assert any(r.kind == "expert_hint" for r in told)
    assert hint.wire_bytes(EXACT_NUMERICS) == ENVELOPE_BYTES + 4 + 3 * 4


def test_a_guess_is_the_next_gates_choice_from_these_rows() -> None:
    """By plain numpy, those of most tokens first."""
    folder = model_folder("perfuse-tiny")
    pregate, chip = Pregate(folder, "hbm"), open_chip(folder, 16)
    config = chip.config
    ids = np.array(prompt(0, 64), dtype=np.int64)
    layout = StepLayout((StepSequence((0, 1, 2, 3), 0, 64),))
    _, moe = chip.attend(0, chip.embed(ids), layout)
    assert moe is not None and not pregate.knows(0) and pregate.knows(1)
    found = pregate.guess(1, moe.hidden_TH).tolist()
    gate_HE, _ = pregate._gates[1]
    logits_TE = moe.hidden_TH.astype(np.float64) @ gate_HE
    chosen = np.argsort(-logits_TE, axis=1)[:, : config.top_k]
    counts = np.bincount(chosen.ravel(), minlength=config.num_experts)
    assert set(found) == set(np.flatnonzero(counts))
    assert [counts[e] for e in found] == sorted((counts[e] for e in found), reverse=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"placement.experts_prefetch": True}, "has no buffer to read ahead into"),
        (
            {
                **AHEAD,
                "placement.weights_tier": "hbf",
                "cluster.nodes.prefill": None,
                "cluster.nodes.decode": None,
                "cluster.nodes.experts": {
                    "workers": ["chip", "experts"], "device": "b200-h3", "link": "lowlat-2us",
                },
            },
            "holds the chips' own weights already",
        ),
    ],
)  # fmt: skip
def test_what_has_no_buffer_of_its_own_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        blueprint(changes)
