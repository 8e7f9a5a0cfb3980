"""A decoder's layers: all that a step does between the embedding and the sampled token.

    decoder = Decoder(shape, gate, cosines, sines)
    decoder.add_layer(LayerNorms(...), qkv, out, gate_weights, experts=...)   # one a layer
    decoder.set_head(norm, head)
    plan = decoder.plan(cache, starts, counts, blocks)                        # once a step
    decoder.forward(cache, plan, x_TH)                                        # experts are here
    hidden_TH, experts_TK, weights_TK = decoder.attend(cache, plan, layer, x_TH)   # or elsewhere
    logits_RV = decoder.logits(x_TH, rows_R)

One native call does a layer, or the whole stack where the experts are here too. A row's bits do not
depend on the rows beside it, on chunks or blocks, in any kind. Letters: T tokens of the step, H
hidden, K experts a token, R rows wanted, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from kernels import attention, linear, moe
from kernels.decoder import ref
from kernels.decoder.shape import Gate, LayerNorms, Shape
from kernels.native import lib
from kernels.numbers import Floats

__all__ = ["Decoder", "Gate", "LayerNorms", "Plan", "Shape"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a step's tokens stand and what they see, for all layers.

    num_tokens  rows of the step, sequence after sequence
    stored      the library's handle, or the reference's plan
    """

    num_tokens: int
    stored: object


class Decoder:
    """Layers in order, then the head.

    cosines, sines   [positions, head_dim / 2] float32: RoPE's angles, and the longest context

    Raises ValueError on sizes that do not fit together.
    """

    def __init__(self, shape: Shape, gate: Gate, cosines: Floats, sines: Floats) -> None:
        self.shape, self.gate = shape, gate
        # What the native object points to stays alive with these.
        self._owned: list[object] = []
        self._head: linear.Weights | None = None
        self._reference: ref.Decoder | None = None
        self._handle: object = None
        if lib is None:
            self._reference = ref.Decoder(shape, gate, cosines, sines)
            return
        self._handle = lib.decoder_create(
            shape.hidden,
            shape.num_heads,
            shape.num_kv_heads,
            shape.head_dim,
            float(shape.eps),
            shape.window,
            gate.num_experts,
            gate.top_k,
            int(gate.sigmoid),
            int(gate.normalise),
            gate.groups,
            gate.groups_kept,
            gate.group_best,
            float(gate.scaling),
            cosines,
            sines,
        )

    def add_layer(
        self,
        norms: LayerNorms,
        qkv: linear.Weights,
        out: linear.Weights,
        gate: linear.Weights,
        correction: Floats | None = None,
        experts: moe.Experts | None = None,
    ) -> None:
        """The next layer. `qkv` has query heads, key heads, value heads; `gate` is fp32.

        correction  [experts] float32, added for choosing only; experts: None where they live
        elsewhere. Raises ValueError where a shape does not fit, or kinds differ between layers.
        """
        if self._reference is not None:
            self._reference.add_layer(norms, qkv, out, gate, correction, experts)
            return
        lib.decoder_add_layer(
            self._handle,
            norms.input,
            norms.q,
            norms.k,
            norms.post,
            qkv.stored,
            out.stored,
            gate.stored,
            correction,
            None if experts is None else experts.stored,
        )
        self._owned += [qkv, out, gate, experts]

    def set_head(self, norm: Floats, head: linear.Weights) -> None:
        """Final norm [H] and vocabulary projection [V, H]."""
        if self._reference is not None:
            self._reference.set_head(norm, head)
            return
        lib.decoder_set_head(self._handle, norm, head.stored)
        self._head = head

    def plan(
        self,
        cache: attention.KvCache,
        starts: Sequence[int],
        counts: Sequence[int],
        blocks: Sequence[Sequence[int]],
    ) -> Plan:
        """Sequence s has counts[s] new tokens from position starts[s] on; blocks[s] hold its KV.

        Raises ValueError where blocks do not cover a sequence or lie outside the cache, or a
        position is past the context.
        """
        if self._reference is not None:
            return Plan(sum(counts), self._reference.plan(cache, starts, counts, blocks))
        offsets = np.fromiter(accumulate(map(len, blocks), initial=0), dtype=np.int64)
        flat = np.fromiter(chain.from_iterable(blocks), dtype=np.int64, count=int(offsets[-1]))
        first, many = np.asarray(starts, dtype=np.int64), np.asarray(counts, dtype=np.int64)
        handle = lib.decoder_plan(self._handle, cache.stored, first, many, offsets, flat)
        return Plan(int(many.sum()), handle)

    def attend(
        self, cache: attention.KvCache, plan: Plan, layer: int, x_TH: Floats
    ) -> tuple[Floats, NDArray[np.int32], Floats]:
        """One layer but its experts: x_TH (float32, C-contiguous) becomes the residual stream after
        attention; returns what the experts are to be given: hidden [T, H], ids and weights [T, K].
        """
        if self._reference is not None:
            return self._reference.attend(cache, plan.stored, layer, x_TH)
        tokens, top_k = plan.num_tokens, self.gate.top_k
        hidden_TH = np.empty((tokens, self.shape.hidden), dtype=np.float32)
        experts_TK = np.empty((tokens, top_k), dtype=np.int32)
        weights_TK = np.empty((tokens, top_k), dtype=np.float32)
        lib.decoder_attend(
            self._handle, cache.stored, plan.stored, x_TH, layer, hidden_TH, experts_TK, weights_TK
        )
        return hidden_TH, experts_TK, weights_TK

    def forward(self, cache: attention.KvCache, plan: Plan, x_TH: Floats) -> None:
        """All layers, experts included, in place. Raises ValueError where these live elsewhere."""
        if self._reference is not None:
            self._reference.forward(cache, plan.stored, x_TH)
            return
        lib.decoder_forward(self._handle, cache.stored, plan.stored, x_TH)

    def logits(self, x_TH: Floats, rows_R: NDArray[np.int64]) -> Floats:
        """Final norm and vocabulary projection of some rows: [R, V] float32."""
        if self._reference is not None:
            return self._reference.logits(x_TH, rows_R)
        outputs = self._head.outputs if self._head is not None else 0
        out_RV = np.empty((len(rows_R), outputs), dtype=np.float32)
        lib.decoder_logits(self._handle, x_TH, rows_R, out_RV)
        return out_RV
