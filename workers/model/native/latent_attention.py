"""Latent attention of one layer on the kernels, absorbed, and where a step's tokens are.

    x ── first ──┬─ queries ─(norm, up)─▶ q ──┬─ without position ─ up_keys ─▶ ┐
                 │                            └─ rotated ────────────────────▶ ┴▶ query [N, L + P]
                 └─ latent, key ─ norm, rotate ─▶ one row [L + P] of the cache, for all heads

    attention over the rows ─▶ mixed latents [N, L] ── up_values ─▶ values [N, V] ── out ─▶ [H]

up_keys and up_values are a small matrix for each head, held once, in the weights' kind like all
others. What numpy computes beside the kernels (norms, rotation) goes row by row or element by
element, so a row's bits depend on nothing beside it. Letters: T tokens of the step, H hidden,
N heads, D query width of a head, L latent, P rotated part, V value width.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from configs.attention import Mla
from configs.model_config import ModelConfig
from configs.precision import Precision
from kernels import linear, mla
from kernels.numbers import Floats
from workers.model.base import StepLayout, StepSequence
from workers.model.parts.dense import Read
from workers.model.parts.latent import LATENT_EPS, halves, queries_in_halves, score_scale
from workers.model.parts.positions import Indices, check_sequence
from workers.model.parts.rope import Rope
from workers.model.parts.rows import rms_norm

# Numbers of absorbed queries at a time, and nearly as many of mixed latents: 16 MiB each. All of a
# long prefill's at once would be hundreds of megabytes (128 heads of 576 a token).
QUERY_NUMBERS_MAX = 1 << 22


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows begin .. end - 1 of a step, which attend together."""

    begin: int
    end: int
    layout: mla.Layout


@dataclass(frozen=True, slots=True)
class LatentStep:
    """Position, block and offset in the block of each new token, and who attends together.

    layout   of all rows at once, for a step whose queries go to others as well
    """

    positions_T: Indices
    blocks_T: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    offsets_T: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    pieces: tuple[Piece, ...]
    layout: mla.Layout


def plan_step(layout: StepLayout, block_size: int, query_width: int, positions: int) -> LatentStep:
    """Once a step, for all layers.

    query_width   numbers of a token's absorbed queries       positions   that the model has

    Raises ValueError where a sequence's blocks do not cover its tokens, or positions are past the
    context.
    """
    for s in layout.sequences:
        check_sequence(s, block_size)
        if s.start + s.count > positions:
            raise ValueError(
                f"position {s.start + s.count - 1} is past the context of {positions} tokens"
            )
    every = [np.arange(s.start, s.start + s.count) for s in layout.sequences]
    whole = _layout_of(layout.sequences, block_size)
    slots = whole.slots(block_size)
    rows = max(1, QUERY_NUMBERS_MAX // query_width)
    pieces, begin = [], 0
    for sequences in _pieces(layout.sequences, rows):
        end = begin + sum(s.count for s in sequences)
        pieces.append(Piece(begin, end, _layout_of(sequences, block_size)))
        begin = end
    positions_T = np.concatenate([np.empty(0, np.int64), *every])
    return LatentStep(positions_T, *slots, tuple(pieces), whole)


def _layout_of(sequences: tuple[StepSequence, ...], block_size: int) -> mla.Layout:
    return mla.Layout(
        mla.Span(s.start, s.count, s.block_ids[s.num_far :], s.num_far * block_size)
        for s in sequences
    )


def _pieces(sequences: tuple[StepSequence, ...], rows: int) -> Iterator[tuple[StepSequence, ...]]:
    """The same tokens in the same order, at most `rows` at a time."""
    piece: list[StepSequence] = []
    room = rows
    for sequence in sequences:
        start, end = sequence.start, sequence.start + sequence.count
        while start < end:
            count = min(room, end - start)
            piece.append(replace(sequence, start=start, count=count))
            start, room = start + count, room - count
            if room == 0:
                yield tuple(piece)
                piece, room = [], rows
    if piece:
        yield tuple(piece)


class LatentAttention:
    """One layer's projections, and its part of the chip's cache."""

    def __init__(
        self,
        config: ModelConfig,
        sizes: Mla,
        layer: int,
        read: Read,
        precision: Precision,
        cache: mla.LatentCache,
        rope: Rope,
    ) -> None:
        self._sizes, self._layer, self._cache, self._rope = sizes, layer, cache, rope
        self._scale = score_scale(config, sizes)
        kind = precision.weights
        down = read("self_attn.kv_a_proj_with_mqa.weight")
        down[sizes.kv_rank :] = down[sizes.kv_rank :][halves(sizes)]
        self._q_norm: Floats | None = None
        self._q_up: linear.Weights | None = None
        if sizes.q_rank is None:
            first = queries_in_halves(sizes, read("self_attn.q_proj.weight"))
        else:
            first = read("self_attn.q_a_proj.weight")
            self._q_norm = read("self_attn.q_a_layernorm.weight")
            q_up = queries_in_halves(sizes, read("self_attn.q_b_proj.weight"))
            self._q_up = linear.pack(q_up, kind)
        self._first = linear.pack(np.concatenate([first, down]), kind)
        self._kv_norm = read("self_attn.kv_a_layernorm.weight")
        heads = read("self_attn.kv_b_proj.weight").reshape(sizes.num_heads, -1, sizes.kv_rank)
        self._up_keys = linear.pack_heads(heads[:, : sizes.nope_dim].swapaxes(1, 2), kind)
        self._up_values = linear.pack_heads(heads[:, sizes.nope_dim :], kind)
        self._out = linear.pack(read("self_attn.o_proj.weight"), kind)

    def forward(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Writes the new tokens' latents, then mixes values: [T, H], without the residual."""
        q_TND, rotated = self._begin(x_TH, step)
        sizes = self._sizes
        values = np.empty((len(x_TH), sizes.num_heads, sizes.value_dim), dtype=np.float32)
        for piece in step.pieces:
            rows = slice(piece.begin, piece.end)
            query = self._absorbed(q_TND[rows], rotated[rows])
            mixed = mla.forward(self._cache, self._layer, query, piece.layout, scale=self._scale)
            linear.forward_heads(self._up_values, mixed, values[rows])
        return linear.forward(self._out, values.reshape(len(x_TH), -1))

    def queries(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Writes the new tokens' latents; queries as they meet rows of the cache, [T, N, L + P]."""
        return self._absorbed(*self._begin(x_TH, step))

    def values(self, mixed_TNL: Floats) -> Floats:
        """What follows when latents are mixed: [T, H], without the residual."""
        values = linear.forward_heads(self._up_values, mixed_TNL)
        return linear.forward(self._out, values.reshape(len(mixed_TNL), -1))

    def _begin(self, x_TH: Floats, step: LatentStep) -> tuple[Floats, Floats]:
        """Writes the new tokens' latents. Queries [T, N, D], and their rotated part [T, N, P]."""
        sizes = self._sizes
        first = linear.forward(self._first, x_TH)
        self._write(first[:, -sizes.cache_width :], step)
        q_TND = self._queries(first[:, : -sizes.cache_width])
        return q_TND, self._rope.rotate(q_TND[..., sizes.nope_dim :], step.positions_T)

    def _absorbed(self, q_TND: Floats, rotated_TNP: Floats) -> Floats:
        sizes = self._sizes
        shape = (len(q_TND), sizes.num_heads, sizes.cache_width)
        query = np.empty(shape, dtype=np.float32)
        without_position = q_TND[..., : sizes.nope_dim]
        linear.forward_heads(self._up_keys, without_position, query[..., : sizes.kv_rank])
        query[..., sizes.kv_rank :] = rotated_TNP
        return query

    def _write(self, down: Floats, step: LatentStep) -> None:
        """Latent, normed, and rotated key of each new token, [T, L + P], into the cache."""
        rank = self._sizes.kv_rank
        latent = rms_norm(down[:, :rank], self._kv_norm, LATENT_EPS)
        key = self._rope.rotate(down[:, None, rank:], step.positions_T)[:, 0]
        self._cache.write(self._layer, step.blocks_T, step.offsets_T, latent, key)

    def _queries(self, x: Floats) -> Floats:
        """[T, N, D], from their own first projection."""
        if self._q_norm is not None and self._q_up is not None:
            x = linear.forward(self._q_up, rms_norm(x, self._q_norm, LATENT_EPS))
        return x.reshape(len(x), self._sizes.num_heads, self._sizes.head_dim)
