"""An answer of many MiB that is lost once: KV blocks out of a memory server's pool."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.rows import Row
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.kv.checksums import block_checksums
from workers.kv.pool_client import hash_columns, hashes_of
from workers.wire.kinds.kv import PoolGet, PoolPut
from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict

BLOCK_BYTES = 1 << 16
CHIP, SERVER, SERVER_NODE = "prefill-0", "memory-0", "hbf-0"
DEADLINE_NS = 10_000_000_000


@dataclass(slots=True)
class _FirstLost:
    """The first answer with blocks never arrives."""

    num_seen: int = 0

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        self.num_seen += message.kind == "pool_blocks"
        return Drop() if message.kind == "pool_blocks" and self.num_seen == 1 else Pass()


def lost_answer(num_mib: int) -> Row:
    """Whether it came, whole, and what the server still keeps of it."""
    num_blocks = num_mib * (1 << 20) // BLOCK_BYTES
    numbers = np.arange(num_blocks * BLOCK_BYTES, dtype=np.uint32).astype(np.uint8)
    blocks = numbers.reshape(num_blocks, BLOCK_BYTES)
    hashes = hash_columns([index.to_bytes(16, "big") for index in range(num_blocks)])

    async def job(world: VirtualWorld) -> tuple[bool, int]:
        port = world.nodes[CHIP].port(CHIP)
        server = world.nodes[SERVER_NODE].endpoint
        put = PoolPut(hashes, block_checksums(blocks, hashes_of(hashes)), blocks)
        await port.call(SERVER, put, deadline_ns=DEADLINE_NS)
        server.rules["lost"] = _FirstLost()
        got = await port.call(SERVER, PoolGet(hashes), deadline_ns=DEADLINE_NS)
        kept_bytes = server.reach(CHIP).remembered.carried_bytes()
        return np.array_equal(got.blocks, blocks), kept_bytes

    plain = {"placement.collections": None, "workload.prompts.questions.retrieval": None}
    is_whole, kept_bytes = run_virtual(Blueprint.draw(load_scenario("demo", plain)), job)
    name = f"an answer of {num_mib} MiB is lost once: bytes that its server keeps in the end"
    evidence = "measured: virtual world; the answer came " + ("whole" if is_whole else "NOT whole")
    return Row(name, kept_bytes, "B", "0, and it comes", is_whole and not kept_bytes, evidence)
