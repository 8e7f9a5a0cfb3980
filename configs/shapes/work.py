"""What a step asks of a machine in one layer, counted from sizes: no constant is fitted.

A multiply-add is two operations. A matrix is multiplied once for each token, and read once a step
however many tokens share it; keys and values are read once for every sequence. Norms, activations
and the rotation of positions are left out, as in `workers/model/work.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
    pairs = sum(attention.pairs(run.start, run.count) for run in runs)
    index, scores = attention.index, 0
    if index is not None:
        scored = sum(attention.scored(run.start, run.count) for run in runs)
        scores = 2 * scored * index.pair_macs
    return 2 * pairs * attention.pair_macs, scores


def _kv_read(shape: ModelShape, layer: int, run: Run, kv_bytes: int) -> int:
    """Entries that some query of a sequence meets; index keys are all read."""
    attention = shape.layers[layer].attention
    if attention is None:
        return 0
    index = attention.index
    keys = 0 if index is None else index.key_bytes(kv_bytes)
    met = attention.met(run.start, run.count) * attention.entry_numbers * kv_bytes
    return met + attention.keys(run.start + run.count) * keys


def _kv_written(shape: ModelShape, layer: int, run: Run, kv_bytes: int) -> int:
    """Every new token's, also in a window."""
    attention = shape.layers[layer].attention
    if attention is None:
        return 0
    index = attention.index
    keys = 0 if index is None else index.key_bytes(kv_bytes)
    more = attention.keys(run.start + run.count) - attention.keys(run.start)
    written = attention.written(run.start, run.count) * attention.entry_numbers * kv_bytes
    return written + more * keys


def _state_flops(shape: ModelShape, layer: int, tokens: int) -> int:
    mixer = shape.layers[layer].mixer
    return tokens * mixer.token_flops if isinstance(mixer, DeltaNet | Kda | Mamba2) else 0
