"""Which tokens follow a step.

Letters: R rows wanted, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.chip.batch import Batch
from workers.chip.scheduler import Item
from workers.chip.shape import Shaped
from workers.chip.wanted import Wanted
from workers.errors import PerfuseError
from workers.host.rng import Rng
from workers.model.base import ChipModel
from workers.model.min_tokens import held_back
from workers.model.program import Hidden
from workers.model.sampling import Choice, choose_all

# seq_id -> the token, and seq_id -> its row of logits where it asked for them.
Chosen = tuple[dict[str, Choice], dict[str, NDArray[np.float32]]]


class Chooser(Protocol):
    """Says which token comes next, for all sequences of a step that are to have one."""

    def choose(
        self, computed: Sequence[tuple[Batch, Hidden]], wanted: Mapping[str, Wanted]
    ) -> Chosen:
        """Of each batch and its last hidden states."""
        ...


class Sampling:
    """Tokens are chosen by the model's logits."""

    def __init__(self, model: ChipModel, rng: Rng, eos: Sequence[int]) -> None:
        self._model, self._rng, self._eos = model, rng, eos

    def choose(
        self, computed: Sequence[tuple[Batch, Hidden]], wanted: Mapping[str, Wanted]
    ) -> Chosen:
        """One choice for all sequences of the step, whatever batch they were in. Those whose own
        numbers are not finite fail in their batch.
        """
        items: list[Item] = []
        logits: list[NDArray[np.float32]] = []
        for batch, x in computed:
            batch.check_hidden(x)
            if batch.sampled:
                logits.append(batch.finite_logits(self._model.logits(x, batch.last_rows)))
                items.extend(batch.sampled)
        if not items:
            return {}, {}
        logits_RV = logits[0] if len(logits) == 1 else np.concatenate(logits)
        asked = [wanted[item.seq.seq_id] for item in items]
        told = {
            item.seq.seq_id: logits_V.copy() if one.shaper else logits_V
            for item, one, logits_V in zip(items, asked, logits_RV, strict=True)
            if one.params.return_logits
        }
        shaped = Shaped(logits_RV, items, [one.shaper for one in asked])
        for batch, _ in computed:
            batch.fail(shaped.failures)
        return self._chosen(items, asked, shaped), told

    def _chosen(
        self, items: Sequence[Item], asked: Sequence[Wanted], shaped: Shaped
    ) -> dict[str, Choice]:
        params = [one.params for one in asked]
        uniforms = [
            self._rng.uniform("sample", p.seed, item.seq.num_outputs) if p.temperature else 0.0
            for item, p in zip(items, params, strict=True)
        ]
        held = [
            held_back(p, item.seq.num_outputs, self._eos)
            for item, p in zip(items, params, strict=True)
        ]
        try:
            choices = choose_all(shaped.logits_RV, params, uniforms, held, shaped.weighed_RV)
        except ValueError as error:  # a broken model must not end the chip's loop
            raise PerfuseError(str(error)) from error
        ids = [item.seq.seq_id for item in items]
        chosen = dict(zip(ids, choices, strict=True))
        for seq_id in shaped.failures:
            del chosen[seq_id]
        return chosen
