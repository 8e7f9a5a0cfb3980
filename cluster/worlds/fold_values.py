"""What a fold's steps compute with: digests of all members at once, or nothing."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.digests import routing_of, sized_chip
from configs.plan import ChipPlan
from kernels.fold import Engine
from kernels.fold.laws import pool_of
from workers.chip.placeholders import Placeholders
from workers.fold.counted import CountedValues
from workers.fold.values import DigestValues
from workers.model.digest.cache import DigestCache
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.expert_model import DigestExperts
from workers.model.digest.routing import Replayed, Skewed
from workers.model.work import WorkModel

# Tokens of the pool that choices are drawn from, where nothing is computed.
POOL_TOKENS = 4_096


def digest_values(
    blueprint: Blueprint, chip: ChipPlan, num_blocks: int, work: WorkModel
) -> tuple[DigestValues, DigestCache]:
    """Over so many KV blocks, of all chips. Raises ValueError where memory ends."""
    model, routing = blueprint.model, blueprint.scenario.model.routing
    whole = sized_chip(blueprint, replace(chip, num_block_ids=num_blocks), work)
    assert isinstance(whole, DigestChip), "asked for digests alone"
    alike = routing.balanced is not None
    experts = DigestExperts(model, tuple(range(model.num_experts)), work, alike=alike)
    return DigestValues(whole, experts, alone=alike), whole.cache


def counted_values(blueprint: Blueprint, engine: Engine) -> CountedValues:
    """Choices are drawn from a pool, which the engine is given."""
    placeholders = Placeholders(blueprint.model.vocab, blueprint.model.eos_token_ids)
    pool_XPK, seed = _pool(blueprint), blueprint.scenario.seed
    number = engine.add_pool(pool_XPK) if pool_XPK.size else None
    return CountedValues(placeholders, number, seed)


def _pool(blueprint: Blueprint) -> NDArray[np.int32]:
    """Tokens that choose as `model.routing` says, [X, P, K]; nothing where nobody chooses."""
    model, routing = blueprint.model, routing_of(blueprint)
    sparse = [layer for layer in range(model.num_layers) if not model.is_dense(layer)]
    if not sparse:
        return np.empty((0, 0, 0), dtype=np.int32)
    if isinstance(routing, Replayed):
        return np.ascontiguousarray(routing.table.transpose(1, 0, 2), dtype=np.int32)
    weights_XE = np.ones((len(sparse), model.num_experts))
    if isinstance(routing, Skewed):
        nowhere = np.zeros(1, dtype=np.int64)
        weights_XE = np.concatenate([routing.weights(layer, nowhere) for layer in sparse])
    return pool_of(weights_XE, model.top_k, POOL_TOKENS, blueprint.scenario.seed)
