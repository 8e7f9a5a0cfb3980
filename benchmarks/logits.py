"""Our logits and tokens beside those of `transformers`, for random Qwen3-MoE models.

    python -m benchmarks.logits --configs 20 [--json FILE]

Each model has random sizes (heads, KV heads, experts, top-k, tied or not, one file or shards) and
random weights, is saved as transformers saves it and read by us. Weights are scaled so that logits
differ clearly: with the usual 0.02 all tokens are nearly tied and equality would be luck.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.utils import logging

from benchmarks.rows import Row, arguments, report
from workers.model.torch.reference import Reference
from workers.request import SamplingParams

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


def random_config(seed: int) -> Qwen3MoeConfig:
    """A small Qwen3-MoE configuration of random sizes; the seed decides all."""
    rng = np.random.default_rng(seed)

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    kv_heads, experts = pick(1, 2, 3), pick(4, 6, 8, 16)
    hidden = pick(32, 48, 96, 128)
    return Qwen3MoeConfig(  # type: ignore[call-arg]  # head_dim is taken as a further keyword
        vocab_size=pick(97, 256, 512),
        hidden_size=hidden,
        intermediate_size=hidden,
        num_hidden_layers=pick(1, 2, 3, 4),
        num_attention_heads=kv_heads * pick(1, 2, 4),
        num_key_value_heads=kv_heads,
        head_dim=pick(8, 16, 32),
        num_experts=experts,
        num_experts_per_tok=pick(1, 2, min(4, experts)),
        moe_intermediate_size=pick(24, 40, 64, 128),
        max_position_embeddings=256,
        norm_topk_prob=bool(pick(0, 1)),
        tie_word_embeddings=bool(pick(0, 1)),
        rope_parameters={"rope_type": "default", "rope_theta": float(pick(10_000, 1_000_000))},
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def save_random_model(config: Qwen3MoeConfig, seed: int, folder: Path, shards: bool) -> Any:
    """Write a model with random weights (norms too) and return it; `shards`: many small files."""
    torch.manual_seed(seed)
    model = Qwen3MoeForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    model.save_pretrained(folder, max_shard_size="50KB" if shards else "1GB")
    return model


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


def compare(seed: int, folder: Path) -> Comparison:
    """Save the seed's random model in `folder`, run both implementations on a random prompt."""
    config = random_config(seed)
    model = save_random_model(config, seed, folder, shards=seed % 2 == 1)
    rng = np.random.default_rng((seed, 1))
    prompt = rng.integers(0, config.vocab_size, PROMPT_TOKENS).tolist()
    theirs = their_tokens(model, prompt, NUM_TOKENS)
    reference = Reference(folder)
    ours = reference.generate(prompt, SamplingParams(max_tokens=NUM_TOKENS))
    both = [*prompt, *theirs]
    difference = np.abs(reference.all_logits(both) - their_logits(model, both)).max()
    return Comparison(seed, float(difference), ours.token_ids, theirs, min(ours.margins))


def rows(results: list[Comparison]) -> list[Row]:
    """What the comparisons say, each number beside its bar."""
    worst = max(results, key=lambda r: r.difference)
    closest = min(results, key=lambda r: r.margin)
    equal = sum(a == b for r in results for a, b in zip(r.ours, r.theirs, strict=True))
    total = len(results) * NUM_TOKENS
    positions = PROMPT_TOKENS + NUM_TOKENS
    how = f"measured: {len(results)} random Qwen3-MoE models, fp32"
    return [
        Row(
            "largest logit difference from transformers",
            worst.difference,
            "",
            f"<= {DIFFERENCE_MAX:g}",
            worst.difference <= DIFFERENCE_MAX,
            f"{how}, all logits of {positions} positions each; worst: seed {worst.seed}",
        ),
        Row(
            "greedy tokens equal to transformers'",
            float(equal),
            "tokens",
            f"all {total}",
            equal == total,
            f"{how}, {NUM_TOKENS} tokens each",
        ),
        Row(
            "smallest top-1 margin over the largest difference",
            closest.margin / worst.difference if worst.difference else float("inf"),
            "",
            "> 2: equality is no luck",
            closest.margin > 2 * worst.difference,
            f"{how}; smallest margin {closest.margin:.2g}: seed {closest.seed}",
        ),
    ]


def main() -> int:
    parser = arguments("Compare our logits with those of transformers.")
    parser.add_argument("--configs", type=int, default=20, help="random models to compare")
    options = parser.parse_args()
    if options.configs < 1:
        parser.error(f"--configs is {options.configs}: it must be at least 1")
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    results = []
    for seed in range(options.configs):
        with tempfile.TemporaryDirectory(prefix="perfuse-logits-") as folder:
            results.append(compare(seed, Path(folder)))
    return report(rows(results), options.json, "Logits against transformers")


if __name__ == "__main__":
    sys.exit(main())
