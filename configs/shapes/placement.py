"""How many bytes a chip and a shard need of a shape, and whether they fit: pure, without a
cluster's other sections. `configs/plan` asks the same of a `ModelConfig`.

Attention and all else but experts stand on chips, split by tensor and pipeline parallelism; experts
stand on shards of their own, or beside attention where there are none. Every rank's part is what it
really holds: a pipeline's stages have whole layers, so the largest counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, gcd

from configs.shapes.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Ranks:
    """tensor, pipeline   degrees of a chip's part   shards   of experts; 0: beside attention"""

    tensor: int = 1
    pipeline: int = 1
    shards: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """chip_bytes    of weights on the fullest chip       shard_bytes   on the fullest shard
    kv_token_bytes   what a token leaves on the fullest chip while no window is full
    sequence_bytes   what a sequence of all tokens keeps there: KV and states
    """

    chip_bytes: int
    shard_bytes: int
    kv_token_bytes: int
    sequence_bytes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """sequences   of `context` tokens whose KV and states fit beside a chip's weights
    problems    why it does not fit, one line each; empty where it does
    """

    placed: Placed
    sequences: int
    problems: tuple[str, ...]


def stages(shape: ModelShape, pipeline: int) -> list[range]:
    """Layers of each stage: as even as whole layers are, the first stages having one more."""
    each, more = divmod(shape.num_layers, pipeline)
    ends = [each * (i + 1) + min(i + 1, more) for i in range(pipeline)]
    return [range(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


def problems(shape: ModelShape, ranks: Ranks) -> list[str]:
    """Degrees that cannot be, each with the nearest that would do."""
    found = []
    if not 1 <= ranks.pipeline <= shape.num_layers:
        found.append(f"pipeline is {ranks.pipeline}: 1 to {shape.num_layers} layers can be stages")
    heads = {_heads(shape, layer) for layer in range(shape.num_layers)} - {0}
    for count in sorted(heads):
        if count % ranks.tensor:
            below = max(n for n in range(1, min(ranks.tensor, count) + 1) if count % n == 0)
            found.append(f"tensor is {ranks.tensor}: it must divide {count} heads, e.g. {below}")
    if ranks.shards and not shape.num_experts:
        found.append(f"shards is {ranks.shards}: {shape.architecture} has no experts: 0")
    if ranks.shards > shape.num_experts > 0:
        found.append(f"shards is {ranks.shards}: there are {shape.num_experts} experts")
    return found


def place(shape: ModelShape, ranks: Ranks, context: int, kv_bytes: int = 2) -> Placed:
    """Raises ValueError with all that is wrong with the degrees."""
    if wrong := problems(shape, ranks):
        raise ValueError("; ".join(wrong))
    parts = stages(shape, ranks.pipeline)
    chips = [_stage_bytes(shape, ranks, stage) for stage in parts]
    # The embedding stands on the first stage, what follows the layers on the last; a tied one on
    # both.
    for weight in shape.outside():
        num_bytes = -(-shape.storage.num_bytes(None, weight) // ranks.tensor)
        is_tied = shape.tied and weight.role == "head"
        if weight.role == "embedding" or (is_tied and ranks.pipeline > 1):
            chips[0] += num_bytes
        if weight.role != "embedding":
            chips[-1] += num_bytes
    return Placed(
        chip_bytes=max(chips),
        shard_bytes=_shard_bytes(shape, ranks),
        kv_token_bytes=max(_token_bytes(shape, ranks, stage, kv_bytes) for stage in parts),
        sequence_bytes=max(_kept(shape, ranks, stage, context, kv_bytes) for stage in parts),
    )


def fit(
    shape: ModelShape,
    ranks: Ranks,
    context: int,
    chip_memory: int,
    shard_memory: int | None = None,
    kv_bytes: int = 2,
) -> Fit:
    """Whether weights and at least one sequence of `context` tokens have room in so many bytes of a
    chip, and experts in those of a shard (left out: a chip's).
    """
    placed = place(shape, ranks, context, kv_bytes)
    room = chip_memory - placed.chip_bytes
    found = []
    if room < 0:
        found.append(_lacks("a chip's weights", placed.chip_bytes, chip_memory))
    elif placed.sequence_bytes > room:
        found.append(_lacks(f"a sequence of {context:,} tokens", placed.sequence_bytes, room))
    memory = chip_memory if shard_memory is None else shard_memory
    if placed.shard_bytes > memory:
        found.append(_lacks("a shard's experts", placed.shard_bytes, memory))
    fits = max(room, 0) // placed.sequence_bytes if placed.sequence_bytes else 0
    return Fit(placed, fits, tuple(found))


def least(
    shape: ModelShape, context: int, chip_memory: int, kv_bytes: int = 2, most: int = 1024
) -> Ranks | None:
    """The fewest chips on which weights and a sequence of `context` tokens fit, experts beside
    attention; of equals those with the most tensor ranks. None where `most` do not do.
    """
    degrees, first = _tensor_degrees(shape), max(1, shape.stored_bytes // chip_memory)
    for chips in range(first, most + 1):
        for tensor in reversed(degrees):
            pipeline, rest = divmod(chips, tensor)
            if rest or pipeline > shape.num_layers:
                continue
            ranks = Ranks(tensor, pipeline)
            if not fit(shape, ranks, context, chip_memory, kv_bytes=kv_bytes).problems:
                return ranks
    return None


def _tensor_degrees(shape: ModelShape) -> list[int]:
    """Divisors of all layers' heads, at most 64; 1 where no layer has any."""
    heads = [count for layer in range(shape.num_layers) if (count := _heads(shape, layer))]
    common = gcd(*heads) if heads else 1
    return [degree for degree in range(1, min(common, 64) + 1) if common % degree == 0]


def _lacks(what: str, needs: int, has: int) -> str:
    return f"{what}: needs {needs / 1e9:,.1f} GB, has {has / 1e9:,.1f} GB"


def _heads(shape: ModelShape, layer: int) -> int:
    """Query heads of a layer's attention; 0 where there is none."""
    attention = shape.layers[layer].attention
    return 0 if attention is None else attention.heads


def _stage_bytes(shape: ModelShape, ranks: Ranks, stage: Sequence[int]) -> int:
    """Of one rank: matrices are split among tensor ranks, vectors are on each."""
    total = 0
    for layer in stage:
        for weight in shape.weights(layer):
            if weight.role == "experts" and ranks.shards:
                continue
            num_bytes = shape.storage.num_bytes(layer, weight)
            is_whole = weight.added or weight.role == "router"
            total += num_bytes if is_whole else -(-num_bytes // ranks.tensor)
    return total


def _shard_bytes(shape: ModelShape, ranks: Ranks) -> int:
    """Of the fullest shard: experts as even as they are whole."""
    if not ranks.shards:
        return 0
    total = 0
    for layer in shape.sparse_layers:
        for weight in shape.weights(layer):
            if weight.role == "experts":
                one = shape.storage.num_bytes(layer, weight) // weight.copies
                total += -(-weight.copies // ranks.shards) * one
    return total


def _kept(
    shape: ModelShape, ranks: Ranks, stage: Iterable[int], context: int, kv_bytes: int
) -> int:
    """KV and states of a sequence on one rank: grouped heads are split, a latent or a single key is
    on every rank.
    """
    total = 0
    for layer in stage:
        kv = shape.kv_layer_bytes(layer, context, kv_bytes)
        state = shape.layer_state_bytes(layer, kv_bytes)
        total += -(-kv // _kv_ranks(shape, ranks, layer)) + -(-state // ranks.tensor)
    return total


def _token_bytes(shape: ModelShape, ranks: Ranks, stage: Iterable[int], kv_bytes: int) -> int:
    """What one token leaves on one rank."""
    found = (
        shape.kv_layer_token_bytes(layer, kv_bytes) / _kv_ranks(shape, ranks, layer)
        for layer in stage
    )
    return ceil(sum(found))


def _kv_ranks(shape: ModelShape, ranks: Ranks, layer: int) -> int:
    """Ranks among which a layer's keys are split."""
    groups: int = getattr(shape.layers[layer].attention, "kv_heads", 1)
    return min(ranks.tensor, groups)
