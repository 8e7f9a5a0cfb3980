"""Small shapes of the published families, and a chip with all experts in one place."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.presets import ROOT, TINY_MODEL, model_folder
from workers.model.base import StepLayout, StepSequence
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.expert_model import DigestExperts
from workers.model.digest.mixing import Digests
from workers.model.digest.routing import Routing, Uniform
from workers.model.forward import as_it_is, forward
from workers.model.local import ExpertsHere, run_here
from workers.model.work import WorkModel

BF16 = Precision("bf16", "bf16")
# Keys and values of 4 heads; 16 experts, 4 a token, no shared one.
GROUPED = replace(
    load_model(model_folder(TINY_MODEL)),
    num_layers=3, num_heads=8, num_kv_heads=4, num_experts=16, top_k=4, vocab=300,
)  # fmt: skip
# One latent; a dense layer, then two sparse ones with a shared expert.
LATENT = replace(
    load_model(ROOT / "scenarios" / "models" / "deepseek-v3.json"),
    num_layers=3, dense_layers=1, num_experts=12, top_k=3, vocab=300,
)  # fmt: skip


class Whole:
    """A chip and all experts. `spoil` may stand between chip and experts."""

    def __init__(
        self,
        config: ModelConfig,
        routing: Routing | None = None,
        block_size: int = 16,
        num_blocks: int = 16,
        spoil: Callable[[ExpertsHere], ExpertsHere] = lambda experts: experts,
    ) -> None:
        routing = routing or Uniform(0, config.num_experts, config.top_k)
        work = WorkModel(config, BF16)
        self.chip = DigestChip(config, num_blocks, block_size, BF16, work, routing)
        every = tuple(range(config.num_experts))
        experts = DigestExperts(config, every, work, alike=routing.alike)
        self.experts: ExpertsHere = spoil(experts.forward)

    def step(
        self, tokens: Sequence[int], start: int, blocks: tuple[int, ...] = (3, 0, 5, 1, 2, 4)
    ) -> Digests:
        """Behind the last layer, [T]."""
        layout = StepLayout((StepSequence(blocks, start, len(tokens)),))
        enter = partial(as_it_is, self.chip.embed(np.array(tokens, dtype=np.int64)))
        last: Digests = run_here(forward(self.chip, enter, layout), self.experts)()
        return last

    def answer(self, prompt: Sequence[int], count: int, chunk: int = 1_000) -> tuple[int, ...]:
        """Greedy tokens, the prompt in chunks."""
        tokens, start = list(prompt), 0
        while len(tokens) < len(prompt) + count:
            part = tokens[start : start + chunk]
            last = self.step(part, start)
            start += len(part)
            if start == len(tokens):
                logits = self.chip.logits(last, np.array([len(part) - 1]))
                tokens.append(int(logits[0].argmax()))
        return tuple(tokens[len(prompt) :])
