"""Our logits and tokens beside those of `transformers`, for random models of each family.

    python -m benchmarks.logits --configs 20 [--families DeepSeek-V3] [--json FILE]

Each model has random sizes and random weights (`benchmarks/random_models.py`), is saved as
transformers saves it, in one file or in shards, and read by us.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.utils import logging

from benchmarks.random_models import FAMILIES, save_random_model
from benchmarks.rows import Row, arguments, report
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

DIFFERENCE_MAX = 1e-4
NUM_TOKENS = 64
PROMPT_TOKENS = 96  # more than one attention span of 64


@dataclass(frozen=True)
class Comparison:
    """One random model: how far our logits are from transformers', and both sides' tokens.

    difference      largest absolute difference of a logit, over all positions and the vocabulary
    ours, theirs    greedy tokens                  margin   smallest top-1 margin of our tokens
    """

    seed: int
    difference: float
    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    margin: float


def their_logits(model: Any, token_ids: list[int]) -> NDArray[np.float32]:
    """[T, V] float32, from one forward pass."""
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(torch.tensor([token_ids])).logits[0].float().numpy()
    return logits


def their_tokens(model: Any, prompt_ids: list[int], count: int) -> tuple[int, ...]:
    """Greedy continuation by transformers' own `generate`."""
    with torch.inference_mode():
        prompt = torch.tensor([prompt_ids])
        result = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
    return tuple(result[0, len(prompt_ids) :].tolist())


def compare(family: str, seed: int, folder: Path) -> Comparison:
    """Save the seed's random model in `folder`, run both implementations on a random prompt."""
    config = FAMILIES[family](seed)
    model = save_random_model(config, seed, folder, shards=seed % 2 == 1)
    rng = np.random.default_rng((seed, 1))
    prompt = rng.integers(0, config.vocab_size, PROMPT_TOKENS).tolist()
    theirs = their_tokens(model, prompt, NUM_TOKENS)
    reference = Reference(folder)
    ours = reference.generate(prompt, SamplingParams(max_tokens=NUM_TOKENS))
    both = [*prompt, *theirs]
    difference = np.abs(reference.all_logits(both) - their_logits(model, both)).max()
    return Comparison(seed, float(difference), ours.token_ids, theirs, min(ours.margins))


def rows(family: str, results: list[Comparison]) -> list[Row]:
    """What the comparisons of one family say, each number beside its bar."""
    worst = max(results, key=lambda r: r.difference)
    closest = min(results, key=lambda r: r.margin)
    equal = sum(a == b for r in results for a, b in zip(r.ours, r.theirs, strict=True))
    total = len(results) * NUM_TOKENS
    positions = PROMPT_TOKENS + NUM_TOKENS
    how = f"measured: {len(results)} random {family} models, fp32"
    return [
        Row(
            f"{family}: largest logit difference from transformers",
            worst.difference,
            "",
            f"<= {DIFFERENCE_MAX:g}",
            worst.difference <= DIFFERENCE_MAX,
            f"{how}, all logits of {positions} positions each; worst: seed {worst.seed}",
        ),
        Row(
            f"{family}: greedy tokens equal to transformers'",
            float(equal),
            "tokens",
            f"all {total}",
            equal == total,
            f"{how}, {NUM_TOKENS} tokens each",
        ),
        Row(
            f"{family}: smallest top-1 margin over the largest difference",
            closest.margin / worst.difference if worst.difference else float("inf"),
            "",
            "> 2: equality is no luck",
            closest.margin > 2 * worst.difference,
            f"{how}; smallest margin {closest.margin:.2g}: seed {closest.seed}",
        ),
    ]


def main() -> int:
    parser = arguments("Compare our logits with those of transformers.")
    parser.add_argument("--configs", type=int, default=20, help="random models of each family")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    options = parser.parse_args()
    if options.configs < 1:
        parser.error(f"--configs is {options.configs}: it must be at least 1")
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    found: list[Row] = []
    for family in options.families:
        results = []
        for seed in range(options.configs):
            with tempfile.TemporaryDirectory(prefix="perfuse-logits-") as folder:
                results.append(compare(family, seed, Path(folder)))
        found += rows(family, results)
    return report(found, options.json, "Logits against transformers")


if __name__ == "__main__":
    sys.exit(main())
