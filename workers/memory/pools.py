"""A memory server's pool of KV blocks: in memory, or in the file behind its tier."""

from collections.abc import Callable

from workers.errors import PerfuseError
from workers.flash.geometry import geometry_of
from workers.flash.opening import open_flash
from workers.flash.wear import Wear
from workers.kv.pool import BlockPool
from workers.memory.flash_pool import FlashPool
from workers.memory.flash_pool_handlers import FlashPoolHandlers
from workers.memory.pool_handlers import PoolHandlers
from workers.node import Node
from workers.wire.port import Port


def open_pool(node: Node, port: Port, name: str, tier: str, pool_bytes: int) -> BlockPool:
    """The pool of the server `name` in `tier`, with its handlers; what a file behind the tier has
    kept is there again. A file that cannot be opened is left as it is, and the pool takes nothing.
    """
    spec = node.hardware.spec.tiers[tier]
    if spec.file is None or not pool_bytes:
        pool = BlockPool(pool_bytes)
        PoolHandlers(node, port, pool, tier)
        return pool
    try:
        flash = open_flash(node.disk, f"{name}.flash/{tier}", geometry_of(spec), node.rng)
        kept = FlashPool(flash, pool_bytes)
    except (PerfuseError, ValueError, OSError) as error:
        node.trace.note(node.clock.now(), "pool out of service", name, str(error))
        pool = BlockPool(0)
        PoolHandlers(node, port, pool, tier)
        return pool
    FlashPoolHandlers(node, port, name, kept, tier)
    return kept


def wear_teller(node: Node, pool: BlockPool, tier: str) -> Callable[[], dict[str, Wear]]:
    """Tells tier -> how worn the file is in which the pool lies, opened now; nothing of a pool that
    lies in memory.
    """
    begun_ns = node.clock.wall_now()

    def told() -> dict[str, Wear]:
        if not isinstance(pool, FlashPool):
            return {}
        return {tier: pool.wear(node.clock.wall_now() - begun_ns)}

    return told
