"""A chip's part of a model of which nothing is computed.

A row of T is one number: which token stands there. No layer changes it; with its position it says
which experts the token visits, under every parallelism and in every batch the same.
"""

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.parts import Part as Held
from configs.precision import Precision
from workers.model.base import MoeInput, StepLayout
from workers.model.counts.cache import NoKeys
from workers.model.digest.mixing import Digests, mixed, stepped
from workers.model.digest.routing import Routing
from workers.model.digest.shape import units_of
from workers.model.forward import as_it_is
from workers.model.parts.partial import Part, PartOf
from workers.model.parts.positions import Indices, check_sequence
from workers.model.parts.sized_chip import SizedChip
from workers.model.plans import Plans
from workers.model.program import Compute, Enter, Program
from workers.model.work import WorkModel


class CountsChip(SizedChip):
    """LaunchModel without numbers. Nothing can be sampled from it: see
    `workers.chip.placeholders`.
    """

    def __init__(
        self,
        config: ModelConfig,
        num_blocks: int,
        block_size: int,
        precision: Precision,
        work: WorkModel,
        routing: Routing,
        part: Held | None = None,
    ) -> None:
        super().__init__(config, num_blocks, block_size, precision, work, part)
        self._units = len(units_of(config, self.part))
        self._cache = NoKeys(num_blocks, self.part.num_layers, self._units)
        self._routing = routing
        self._plans: Plans[_Plan] = Plans(lambda layout: _Plan(layout, block_size))

        # Of each layer, for how many its launch stands.
        self._alike = _alike(config, self.part)
        self._in_a_row: StepLayout | None = None  # whose layers have the last such launch

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """Layers that are alike, and between which nothing happens, are launches in a row."""
        times = self._alike[layer - self.part.first_layer]
        if not times and layout is self._in_a_row:
            return enter
        if times < 2 or self._plans.of(layout).has_far:
            return (yield from super().layer(layer, enter, layout))
        work = self.attend_work(layer, layout)._replace(times=times)
        self._in_a_row = layout
        x = yield Compute(work, enter)
        return partial(as_it_is, x)

    def embed(self, token_ids_T: NDArray[np.int64]) -> Digests:
        """[T]. Raises ValueError on ids outside the vocabulary."""
        self._check_ids(token_ids_T)
        return token_ids_T.astype(np.uint64)

    def attend(self, layer: int, x: Digests, layout: StepLayout) -> tuple[Digests, MoeInput | None]:
        if self._whole.is_dense(layer):
            return x, None
        positions_T, top_k = self._plans.of(layout).positions, self._whole.top_k
        drawn_T = mixed(mixed(x.copy()) + stepped(positions_T))
        experts_TK = self._routing.choose(layer, drawn_T, positions_T)
        return x, MoeInput(x, experts_TK, np.ones((len(x), top_k), dtype=np.float32))

    def merge(self, x: Digests, sums_TH: NDArray[Any]) -> Digests:
        """What experts add is nothing."""
        return x

    def logits(self, x: Digests, rows_R: NDArray[np.int64]) -> NDArray[np.float32]:
        """Raises ValueError: there are none."""
        raise ValueError("numerics 'counts' has no logits: its tokens are placeholders")

    def _queries(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Digests, Digests]:
        x = enter()
        return x, np.zeros((len(x), self._units, 1), dtype=np.uint64)

    def _over_own(self, layer: int, q_TND: Digests, layout: StepLayout) -> Part:
        return Part(q_TND, np.zeros(q_TND.shape[:2], dtype=np.float32))

    def _values(
        self, layer: int, x: Digests, own: Part, others: Sequence[PartOf], layout: StepLayout
    ) -> tuple[Digests, MoeInput | None]:
        return self.attend(layer, x, layout)

    def found_share(self, layer: int, found: Sequence[Digests]) -> Digests:
        return np.zeros(len(found[0]), dtype=np.uint64)

    def attention_share(
        self, layer: int, enter: Enter, layout: StepLayout
    ) -> tuple[Digests, Digests]:
        x = enter()
        return x, np.zeros_like(x)

    def behind(
        self, layer: int, x: Digests, sums_T: Digests, layout: StepLayout
    ) -> tuple[Digests, Digests | None, MoeInput | None]:
        """A network beside the experts adds nothing, and is summed up over the ranks all the
        same.
        """
        has_network = self._whole.is_dense(layer) or self._whole.shared_intermediate > 0
        return x, np.zeros_like(x) if has_network else None, self.attend(layer, x, layout)[1]

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """[block, a byte a layer and unit] uint8. Raises ValueError on unknown ids."""
        return self._cache.read_blocks(block_ids)

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """Raises ValueError where `read_blocks` would not give them."""
        self._cache.write_blocks(block_ids, blocks)


class _Plan:
    """Of a step. Raises ValueError where blocks do not cover a sequence's tokens.

    has_far   keys of some sequence are elsewhere
    """

    def __init__(self, layout: StepLayout, block_size: int) -> None:
        for one in layout.sequences:
            check_sequence(one, block_size)
        self.has_far, self._layout = layout.has_far, layout

    @cached_property
    def positions(self) -> Indices:
        every = [np.arange(s.start, s.start + s.count) for s in self._layout.sequences]
        return np.concatenate(every)


def _alike(config: ModelConfig, part: Held) -> list[int]:
    """Of each layer held, how many launches its own stands for: of dense layers alike that follow
    each other, the first one's for all. The model's first layer also embeds; none is like it. With
    other heads at other ranks, something happens in each.
    """
    if part.heads is not None:
        return [1] * part.num_layers

    def kind(layer: int) -> tuple[int, int]:
        apart = layer if layer == 0 or not config.is_dense(layer) else -1
        return config.kind_of(layer), apart

    found: list[int] = []
    for _, run in groupby(part.layers, kind):
        size = len(list(run))
        found += [size] + [0] * (size - 1)
    return found


class CountsRank(CountsChip):
    """RankModel: what travels can be cut as digests are, [block, layer, span, unit, token]."""

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        blocks = self._cache.read_blocks(block_ids)
        return blocks.reshape(len(block_ids), self._cache.num_layers, 1, self._units, 1)

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        self._cache.write_window(block_ids, blocks, (self._cache.num_layers, 1, self._units, 1))

    def write_part(self, block_ids: tuple[int, ...], part: Held, blocks: NDArray[Any]) -> None:
        """Some layers and units of blocks, of those that are here. Raises ValueError where the
        shape does not fit.
        """
        layers, units = self.part.window_of(part)
        num_layers = len(range(*layers.indices(self._cache.num_layers)))
        num_units = len(range(*units.indices(self._units)))
        self._cache.write_window(block_ids, blocks, (num_layers, 1, num_units, 1))
