"""A decoder's layers in numpy: what the native code must agree with, and what runs without it.

Letters: T tokens, H hidden, N heads, D head_dim, K experts a token, S keys, R rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import attention, linear, moe
from kernels.decoder.shape import Gate, LayerNorms, Shape
from kernels.numbers import Floats, quiet

Chosen = tuple[Floats, NDArray[np.int32], Floats]


@dataclass(frozen=True)
class Layer:
    norms: LayerNorms
    qkv: linear.Weights
    out: linear.Weights
    gate: linear.Weights
    correction: Floats | None
    experts: moe.Experts | None


@dataclass(frozen=True)
class Plan:
    """Sequences as (start, count, block ids), and each token's position."""

    sequences: tuple[tuple[int, int, tuple[int, ...]], ...]
    positions_T: NDArray[np.int64]
    block_size: int


class Decoder:
    """As `kernels.decoder.Decoder`, whose docstrings say what goes in and out."""

    def __init__(self, shape: Shape, gate: Gate, cosines: Floats, sines: Floats) -> None:
        check(shape, gate, cosines, sines)
        self.shape, self.gate = shape, gate
        self.cosines, self.sines = cosines, sines
        self.layers: list[Layer] = []
        self.norm: Floats | None = None
        self.head: linear.Weights | None = None

    def add_layer(
        self,
        norms: LayerNorms,
        qkv: linear.Weights,
        out: linear.Weights,
        gate: linear.Weights,
        correction: Floats | None,
        experts: moe.Experts | None,
    ) -> None:
        shape = self.shape
        queries = shape.num_heads * shape.head_dim
        wide = queries + 2 * shape.num_kv_heads * shape.head_dim
        for name, vector, size in (
            ("input_norm", norms.input, shape.hidden),
            ("q_norm", norms.q, shape.head_dim),
            ("k_norm", norms.k, shape.head_dim),
            ("post_norm", norms.post, shape.hidden),
        ):
            if vector.shape != (size,):
                raise ValueError(f"{name} has shape {vector.shape}; it must be ({size},)")
        for name, weights, outputs, channels in (
            ("qkv", qkv, wide, shape.hidden),
            ("out", out, shape.hidden, queries),
            ("gate", gate, self.gate.num_experts, shape.hidden),
        ):
            if (weights.outputs, weights.channels) != (outputs, channels):
                raise ValueError(
                    f"{name} is {weights.outputs} x {weights.channels}; "
                    f"it must be {outputs} x {channels}"
                )
        if gate.kind != "fp32":
            raise ValueError("the gate's weights must be fp32")
        self.layers.append(Layer(norms, qkv, out, gate, correction, experts))

    def set_head(self, norm: Floats, head: linear.Weights) -> None:
        self.norm, self.head = norm, head

    def plan(
        self,
        cache: attention.KvCache,
        starts: Sequence[int],
        counts: Sequence[int],
        blocks: Sequence[Sequence[int]],
    ) -> Plan:
        sequences = tuple(
            (start, count, tuple(ids))
            for start, count, ids in zip(starts, counts, blocks, strict=True)
        )
        for number, (start, count, ids) in enumerate(sequences):
            end = start + count
            if start < 0 or count < 1 or len(ids) * cache.block_size < end:
                raise ValueError(
                    f"sequence {number} starts at {start} with {count} new tokens and has "
                    f"{len(ids)} blocks of {cache.block_size} tokens"
                )
            if end > len(self.cosines):
                raise ValueError(
                    f"position {end - 1} is past the context of {len(self.cosines)} tokens"
                )
            if any(not 0 <= i < cache.num_blocks for i in ids):
                raise ValueError(
                    f"sequence {number} has blocks {ids}; the cache has {cache.num_blocks}"
                )
        runs = [np.arange(start, start + count) for start, count, _ in sequences]
        positions = np.concatenate(runs) if runs else np.empty(0, dtype=np.int64)
        return Plan(sequences, positions, cache.block_size)

    @quiet
    def attend(self, cache: attention.KvCache, plan: Any, index: int, x_TH: Floats) -> Chosen:
        layer, shape = self.layers[index], self.shape
        x = linear.forward(layer.qkv, rms_norm(x_TH, layer.norms.input, shape.eps))
        queries, turned = shape.num_heads, shape.num_heads + shape.num_kv_heads
        heads = x.reshape(len(x), turned + shape.num_kv_heads, shape.head_dim)
        q = self._turn(rms_norm(heads[:, :queries], layer.norms.q, shape.eps), plan)
        k = self._turn(rms_norm(heads[:, queries:turned], layer.norms.k, shape.eps), plan)
        mixed = self._mix(cache, plan, index, q, k, heads[:, turned:])
        x_TH += linear.forward(layer.out, mixed)
        hidden = rms_norm(x_TH, layer.norms.post, shape.eps)
        logits = linear.forward(layer.gate, hidden)
        return (hidden, *choose(self.gate, layer.correction, logits))

    @quiet
    def forward(self, cache: attention.KvCache, plan: Any, x_TH: Floats) -> None:
        for index, layer in enumerate(self.layers):
            if layer.experts is None:
                raise ValueError("the decoder's experts live elsewhere: take it layer by layer")
            sums = moe.forward(layer.experts, *self.attend(cache, plan, index, x_TH))
            x_TH[...] = (x_TH + sums).astype(np.float32)

    @quiet
    def logits(self, x_TH: Floats, rows_R: NDArray[np.int64]) -> Floats:
        if self.norm is None or self.head is None:
            raise ValueError("the decoder has no head")
        return linear.forward(self.head, rms_norm(x_TH[rows_R], self.norm, self.shape.eps))

    def _turn(self, x_TND: Floats, plan: Plan) -> Floats:
        half = self.shape.head_dim // 2
        c = self.cosines[plan.positions_T][:, None]
        s = self.sines[plan.positions_T][:, None]
        first, second = x_TND[..., :half], x_TND[..., half:]
        turned = [first * c - second * s, second * c + first * s]
        return np.concatenate(turned, axis=-1).astype(np.float32)

    def _mix(
        self, cache: attention.KvCache, plan: Plan, index: int, q: Floats, k: Floats, v: Floats
    ) -> Floats:
        """Writes KV, then plain attention of every token over its sequence: [T, N * D]."""
        size, group = plan.block_size, self.shape.num_heads // self.shape.num_kv_heads
        out = np.empty((len(q), self.shape.num_heads, self.shape.head_dim), dtype=np.float32)
        row = 0
        for start, count, ids in plan.sequences:
            rows = slice(row, row + count)
            places = plan.positions_T[rows]
            blocks = np.asarray(ids, dtype=np.int32)[places // size]
            offsets = (places % size).astype(np.int32)
            cache.write(index, blocks, offsets, k[rows], v[rows])
            end = start + count
            parts = [cache.read(index, block) for block in ids[: -(-end // size)]]
            keys = np.concatenate([part[0] for part in parts])[:end].repeat(group, axis=1)
            values = np.concatenate([part[1] for part in parts])[:end].repeat(group, axis=1)
            for token in range(count):
                seen = slice(self._first_seen(start + token), start + token + 1)
                scores = np.einsum("nd,snd->ns", q[row + token], keys[seen], dtype=np.float64)
                scores = np.exp(scores - scores.max(axis=1, keepdims=True))
                scores /= scores.sum(axis=1, keepdims=True)
                out[row + token] = np.einsum("ns,snd->nd", scores, values[seen])
            row += count
        return out.reshape(len(q), self.shape.num_heads * self.shape.head_dim)

    def _first_seen(self, position: int) -> int:
        return max(0, position - self.shape.window + 1) if self.shape.window else 0


def check(shape: Shape, gate: Gate, cosines: Floats, sines: Floats) -> None:
    """Raises ValueError where sizes do not fit together."""
    angles = (len(cosines), shape.head_dim // 2)
    if cosines.shape != angles or sines.shape != angles:
        raise ValueError(
            f"cosines have shape {cosines.shape}, sines {sines.shape}; both must be {angles}"
        )
    for name, value, most in (
        ("groups", gate.groups, gate.num_experts),
        ("groups_kept", gate.groups_kept, gate.groups),
        ("group_best", gate.group_best, 2),
    ):
        if not 1 <= value <= most:
            raise ValueError(f"{name} is {value}; it must be from 1 to {most}")
    if gate.num_experts % gate.groups:
        raise ValueError(f"groups is {gate.groups}; it must divide {gate.num_experts} experts")
    if not 1 <= gate.top_k <= gate.num_experts // gate.groups * gate.groups_kept:
        raise ValueError(
            f"top_k is {gate.top_k}; the groups kept have fewer experts, or it is below 1"
        )


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension."""
    mean = np.mean(x.astype(np.float64) ** 2, axis=-1, keepdims=True)
    out: Floats = (x / np.sqrt(mean + eps) * weight).astype(np.float32)
    return out


def choose(
    gate: Gate, correction: Floats | None, logits_TE: Floats
) -> tuple[NDArray[np.int32], Floats]:
    """Each token's experts, best first and the lowest id on ties, and their weights, [T, K]."""
    wide = logits_TE.astype(np.float64)
    with np.errstate(over="ignore"):
        if gate.sigmoid:
            scores = 1 / (1 + np.exp(-wide))
        else:
            scores = np.exp(wide - wide.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
    scores = scores.astype(np.float32)
    choice = scores if correction is None else scores + correction
    if gate.groups > 1 and gate.groups_kept < gate.groups:
        grouped = choice.reshape(len(choice), gate.groups, -1)
        best = np.sort(grouped, axis=-1)[..., -gate.group_best :].sum(axis=-1)
        kept = np.argsort(-best, axis=-1, kind="stable")[:, : gate.groups_kept]
        stays = np.zeros(best.shape, dtype=bool)
        np.put_along_axis(stays, kept, True, axis=-1)
        choice = np.where(stays[..., None], grouped, np.float32(-np.inf)).reshape(choice.shape)
    ids = np.argsort(-choice, axis=-1, kind="stable")[:, : gate.top_k]
    weights = np.take_along_axis(scores, ids, axis=-1)
    if gate.normalise:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    return ids.astype(np.int32), (weights * np.float32(gate.scaling)).astype(np.float32)
