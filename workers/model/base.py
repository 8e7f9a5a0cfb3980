"""What chip and expert shard need of a model, whatever its numerics: numpy at the seams.

Letters: T tokens of this step (over all sequences), H hidden, K experts a token, R rows wanted,
V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.parts import Part
from workers.hardware.work import Work
from workers.model.program import Enter, Hidden, Program, Rows


@dataclass(frozen=True, slots=True)
class StepSequence:
    """One sequence's share of a step.

    block_ids   physical KV blocks in logical order; they cover positions 0 .. start + count - 1
    start       position of its first new token (= tokens whose KV is already in the cache)
    count       new tokens in this step (1 in decode, up to the chunk in prefill)
    num_far     so many of its first blocks are elsewhere: their ids say nothing
    """

    block_ids: tuple[int, ...]
    start: int
    count: int
    num_far: int = 0


@dataclass(frozen=True, slots=True)
class StepLayout:
    """The step's tokens: sequences in order, each token's row follows the one before it."""

    sequences: tuple[StepSequence, ...]

    @property
    def num_tokens(self) -> int:
        return sum(s.count for s in self.sequences)

    @property
    def has_far(self) -> bool:
        """Whether keys of any sequence are elsewhere."""
        return any(s.num_far for s in self.sequences)


@dataclass(frozen=True, slots=True)
class MoeInput:
    """What the gate says of T tokens: rows to dispatch, and to whom."""

    hidden_TH: Rows
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]


class ChipModel(Protocol):
    """Embeddings, attention with paged KV cache and gate of every layer, vocabulary projection."""

    config: ModelConfig
    block_size: int
    num_blocks: int

    @property
    def block_bytes(self) -> int:
        """Bytes of one KV block over all layers."""
        ...

    @property
    def kv_tier(self) -> str:
        """Memory tier that holds the KV cache."""
        ...

    def embed(self, token_ids_T: NDArray[np.int64]) -> Hidden: ...

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """The program of one layer: attention with residual, the new tokens' KV into their blocks,
        then norm, gate and the experts. `enter` gives what comes in; what is returned, what goes
        out.
        """
        ...

    def merge(self, x: Hidden, sums_TH: NDArray[Any]) -> Hidden:
        """Add what others have summed up to the residual stream. May overwrite x."""
        ...

    def logits(self, x: Hidden, rows_R: NDArray[np.int64]) -> NDArray[np.float32]:
        """Final norm and vocabulary projection of some rows: [R, V]."""
        ...

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """Copies of KV blocks, [block, layer, ...]: what follows is the model's own layout."""
        ...

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`."""
        ...

    def logits_work(self, num_rows: int) -> Work: ...


class LaunchModel(ChipModel, Protocol):
    """A ChipModel that holds all heads of its layers: its part of a layer is one launch."""

    def attend(self, layer: int, x: Hidden, layout: StepLayout) -> tuple[Hidden, MoeInput | None]:
        """Attention with residual, the new tokens' KV into their blocks, then norm and gate. May
        overwrite x.

        Shared experts are in the hidden states already. None of a dense layer: no expert has a
        share, and what is returned goes into the next layer as it is, without `merge`.
        """
        ...

    def attend_work(self, layer: int, layout: StepLayout) -> Work: ...


class RankModel(ChipModel, Protocol):
    """A ChipModel of some layers and heads. Layers have the numbers of the whole model."""

    part: Part

    def write_part(self, block_ids: tuple[int, ...], part: Part, blocks: NDArray[Any]) -> None:
        """Some layers and heads of KV blocks, of those that are here."""
        ...


class SharedModel(ChipModel, Protocol):
    """A model of some heads: what a layer adds is a sum over ranks."""

    def attend_work(self, layer: int, layout: StepLayout) -> Work: ...

    def attention_share(
        self, layer: int, enter: Enter, layout: StepLayout
    ) -> tuple[Hidden, NDArray[Any]]:
        """What entered, and what attention of the heads here adds; the new tokens' KV goes into
        their blocks.
        """
        ...

    def behind(
        self, layer: int, x: Hidden, sums_TH: NDArray[Any], layout: StepLayout
    ) -> tuple[Hidden, NDArray[Any] | None, MoeInput | None]:
        """The stream with the sum over ranks; the share here of what a network beside the experts
        adds, if there is one; and what experts are to add, if there are any.
        """
        ...


class SlicedModel(SharedModel, Protocol):
    """A SharedModel whose keys other ranks hold slices of."""

    def slice_queries(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Hidden, Rows]:
        """What entered, and queries [T, N, D] of the heads here; of the new tokens' KV what lies
        here goes into its blocks.
        """
        ...

    def over_slice(
        self, layer: int, everyones: Sequence[Rows], layout: StepLayout
    ) -> tuple[Rows, ...]:
        """What each rank's queries find over the keys that are here, [T, N, ...]."""
        ...

    def found_share(self, layer: int, found: Sequence[Rows]) -> Rows:
        """What the heads here add, of what was found for them over each slice of their keys."""
        ...


class ExpertModel(Protocol):
    """Some experts of every sparse layer."""

    config: ModelConfig
    expert_ids: tuple[int, ...]

    def forward(
        self,
        layer: int,
        hidden_TH: Rows,
        experts_TK: NDArray[np.int32],
        weights_TK: NDArray[np.float32],
    ) -> NDArray[Any]:
        """Weighted sum over this shard's experts, [T, H]: float64 in exact mode, else float32.

        An expert id of -1 (or of another shard) adds nothing.
        """
        ...

    def work(
        self, layer: int, experts_TK: NDArray[np.int32], there: frozenset[int] = frozenset()
    ) -> Work:
        """Each distinct active expert's weights are read once, whatever the number of tokens; those
        of `there` are at hand.
        """
        ...

    def read_work(self, expert: int) -> Work:
        """Reading one expert's weights of one layer ahead."""
        ...
