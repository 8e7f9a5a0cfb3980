"""One chip with few blocks and a slow tier behind them, for tests of KV offload."""

from collections.abc import Mapping
from typing import Any

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import Heard, ask, prompt, request, workers_of
from workers.chip.chip import Chip
from workers.kv.offload import Offload

SSD = {
    "capacity": "1 GB", "read": "8 GB/s", "write": "4 GB/s", "read_latency": "5 us",
    "write_latency": "20 us", "page": "4 KiB", "queue_depth": 64, "read_energy": "10 pJ/bit",
    "write_energy": "100 pJ/bit",
}  # fmt: skip
DEVICE = {"base": "h100-sxm", "tiers": {"ssd": SSD}}
# 14 blocks of 16 tokens: two prompts of 100 do not fit beside each other's answers.
ONE_CHIP: Mapping[str, Any] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": {"workers": ["chip"], "device": DEVICE, "link": "lowlat-2us"},
    "placement.kv_pool": False,
    "placement.reserve": "watermark",
    "model.num_kv_blocks": 14,
    "model.max_model_len": 224,
}


def to_tier(admission: str = "always", capacity: str = "100 MB") -> dict[str, Any]:
    own = {"tier": "ssd", "capacity": capacity, "admission": admission}
    return {**ONE_CHIP, "placement.kv_offload": own}


TO_SERVERS: Mapping[str, Any] = {**ONE_CHIP, "placement.kv_offload": {"tier": "memory"}}


def the_chip(world: VirtualWorld) -> Chip:
    (chip,) = workers_of(world, Chip).values()
    return chip


def the_offload(world: VirtualWorld) -> Offload:
    elsewhere = the_chip(world)._scheduler.roster.elsewhere
    assert isinstance(elsewhere, Offload)
    return elsewhere


async def ask_in_turn(world: VirtualWorld, numbers: str, length: int = 100) -> list[Heard]:
    """Prompts by number ("0120"), one after the other, each for 20 tokens."""
    return [
        await ask(
            world,
            request(f"{turn}-{number}", prompt_ids=prompt(int(number), length), max_tokens=20),
        )
        for turn, number in enumerate(numbers)
    ]
