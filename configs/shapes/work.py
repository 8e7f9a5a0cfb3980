"""What a step asks of a machine in one layer, counted from sizes: no constant is fitted.

A multiply-add is two operations. A matrix is multiplied once for each token, and read once a step
however many tokens share it; keys and values are read once for every sequence. Norms, activations
and the rotation of positions are left out, as in `workers/model/work.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from configs.shapes.compressed import Compressed
from configs.shapes.shape import ModelShape
from configs.shapes.state import DeltaNet, Kda, Mamba2


@dataclass(frozen=True, slots=True)
class Run:
    """New tokens of one sequence, and how many it had before them."""

    count: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class LayerWork:
    """weights_flops   of all matrices that are no router's and no expert's
    router_flops     gates are computed in fp32          expert_flops    of experts
    pair_flops       where queries meet keys             index_flops     the same of an index
    state_flops      of linear attention and state spaces
    weights_read     bytes of all weights but experts    experts_read    of experts that are visited
    kv_read, kv_written    bytes of keys, values and index keys
    state_read, state_written     of states
    """

    weights_flops: int
    router_flops: int
    expert_flops: int
    pair_flops: int
    index_flops: int
    state_flops: int
    weights_read: int
    experts_read: int
    kv_read: int
    kv_written: int
    state_read: int
    state_written: int

    @property
    def flops(self) -> int:
        chip = self.weights_flops + self.router_flops + self.expert_flops
        return chip + self.pair_flops + self.index_flops + self.state_flops

    @property
    def bytes_read(self) -> int:
        return self.weights_read + self.experts_read + self.kv_read + self.state_read


def layer_work(
    shape: ModelShape,
    layer: int,
    runs: Iterable[Run],
    *,
    kv_bytes: int = 2,
    visited: int | None = None,
) -> LayerWork:
    """One layer's work for these sequences, without tensor parallelism.

    kv_bytes   of one kept number
    visited    experts that some token chose; left out, as many as these tokens can reach at most
    """
    sequences = tuple(runs)
    tokens = sum(run.count for run in sequences)
    flops = {"router": 0, "experts": 0, "other": 0}
    read = {"experts": 0, "other": 0}
    reached = _visited(shape, layer, tokens, visited)
    for weight in shape.weights(layer):
        role = weight.role if weight.role in flops else "other"
        flops[role] += 2 * weight.token_macs * tokens
        one = shape.storage.num_bytes(layer, weight) // weight.copies
        if weight.role == "experts":
            read["experts"] += one * reached
        else:
            read["other"] += one * weight.copies
    states = len(sequences) * shape.layer_state_bytes(layer, kv_bytes)
    return LayerWork(
        flops["other"],
        flops["router"],
        flops["experts"],
        *_meetings(shape, layer, sequences),
        _state_flops(shape, layer, tokens),
        read["other"],
        read["experts"],
        sum(_kv_read(shape, layer, run, kv_bytes) for run in sequences),
        sum(_kv_written(shape, layer, run, kv_bytes) for run in sequences),
        states,
        states,
    )


def _visited(shape: ModelShape, layer: int, tokens: int, visited: int | None) -> int:
    moe = shape.layers[layer].moe
    if moe is None:
        return 0
    most = min(moe.num_experts, tokens * moe.top_k)
    if visited is None:
        return most
    if not 0 <= visited <= most:
        raise ValueError(f"visited is {visited}: {tokens} tokens reach 0 to {most} experts")
    return visited


def _meetings(shape: ModelShape, layer: int, runs: tuple[Run, ...]) -> tuple[int, int]:
    """Operations where queries meet entries, and where an index scores them. Causal: the i-th new
    token of a sequence is the last of start + i + 1.
    """
    attention = shape.layers[layer].attention
    if attention is None:
        return 0, 0
    index = attention.index
    pairs = scored = 0
    for run in runs:
        for context in range(run.start + 1, run.start + run.count + 1):
            pairs += attention.pairs(context)
            if index is not None:
                is_compressed = isinstance(attention, Compressed)
                scored += attention.compressed(context) if is_compressed else context
    scores = 0 if index is None else 2 * scored * index.pair_macs
    return 2 * pairs * attention.pair_macs, scores


def _kv_read(shape: ModelShape, layer: int, run: Run, kv_bytes: int) -> int:
    """Entries that some query of a sequence meets; index keys are all read."""
    attention = shape.layers[layer].attention
    if attention is None:
        return 0
    context = run.start + run.count
    if attention.index is None:
        window = getattr(attention, "window", None)
        if window is None or isinstance(attention, Compressed):
            return shape.kv_layer_bytes(layer, context, kv_bytes)
        # The first new token meets a window before itself as well.
        kept = min(context, window + run.count - 1)
        return int(kept * attention.entry_numbers * kv_bytes)
    everything = shape.kv_layer_bytes(layer, context, kv_bytes)
    one = attention.head_dim if isinstance(attention, Compressed) else attention.entry_numbers
    kept = attention.entries(context)
    met = min(kept, run.count * attention.pairs(context))
    return everything - int((kept - met) * one * kv_bytes)


def _kv_written(shape: ModelShape, layer: int, run: Run, kv_bytes: int) -> int:
    """Every new token's, also in a window."""
    attention = shape.layers[layer].attention
    if attention is None:
        return 0
    index = attention.index
    if isinstance(attention, Compressed):
        end = attention.compressed(run.start + run.count)
        more = end - attention.compressed(run.start)
        keys = 0 if index is None else index.key_bytes(kv_bytes)
        return (run.count + more) * attention.head_dim * kv_bytes + more * keys
    keys = 0 if index is None else index.key_bytes(kv_bytes)
    return run.count * (attention.entry_numbers * kv_bytes + keys)


def _state_flops(shape: ModelShape, layer: int, tokens: int) -> int:
    mixer = shape.layers[layer].mixer
    return tokens * mixer.token_flops if isinstance(mixer, DeltaNet | Kda | Mamba2) else 0

