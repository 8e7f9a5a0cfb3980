"""What bf16, int8 and int4 lose beside exact mode: `python -m benchmarks.precision`.

perfuse-tiny reads random prompts of its own vocabulary and continues them; at every position the
logits of each precision stand beside those of exact mode, after the same tokens. A small
DeepSeek-V3 of random weights, the hardest case, reads random tokens: where a gate's choice flips,
other experts answer.

Rows travel to one shard of all experts and sums come back, rounded as that precision sends them: a
cluster's numbers. bf16 is measured with int8 rows as well. Expected of that: next to nothing, since
experts in bf16 round their rows so themselves and those in int8 to the same codes; sums in bf16 are
off by 2^-9 of themselves, as each number of attention's products is.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, arguments, report
from configs.precision import Precision, WireKind
from configs.presets import TINY_MODEL, model_folder
from workers.model.numerics import numerics_of
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

PROMPTS, PROMPT_TOKENS, ANSWER_TOKENS = 24, 16, 112
# Precision -> least share of positions whose most likely token is that of exact mode.
BARS = {
    Precision("bf16", "bf16"): 98.5,
    Precision("bf16", "int8"): 98.0,
    Precision("int8", "bf16"): 97.0,
    Precision("int8", "int8"): 97.0,
    Precision("int4", "bf16"): 80.0,
}
# What rows travel as, where not in the numbers of the arithmetic; and the bar, that of int8.
OTHER_ROWS: tuple[tuple[Precision, WireKind, float], ...] = (
    (Precision("bf16", "bf16"), "int8", 97.0),
)


# Precision -> what the mean logit of the random DeepSeek may be off, in percent of their spread.
RANDOM_BARS = {
    Precision("bf16", "bf16"): 7.0,
    Precision("bf16", "int8"): 10.0,
    Precision("int8", "bf16"): 21.0,
    Precision("int8", "int8"): 22.0,
    Precision("int4", "bf16"): 80.0,
}
RANDOM_TOKENS, RANDOM_TEXTS = 200, 4


def sequences(exact: Reference, seed: int) -> list[list[int]]:
    """Prompts with the answers that exact mode samples: text as the model writes it."""
    rng = np.random.default_rng(seed)
    params = SamplingParams(max_tokens=ANSWER_TOKENS, temperature=0.8, ignore_eos=True)
    made = []
    for _ in range(PROMPTS):
        prompt = rng.integers(3, exact.config.vocab, PROMPT_TOKENS).tolist()
        answer = exact.generate(prompt, params, uniform=lambda _: float(rng.random()))
        made.append([*prompt, *answer.token_ids])
    return made


def log_softmax(logits_TV: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits_TV.astype(np.float64) - logits_TV.max(axis=1, keepdims=True)
    normal: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normal


def rows(seed: int) -> Iterator[Row]:
    folder = model_folder(TINY_MODEL)
    exact = Reference(folder)
    texts = sequences(exact, seed)
    wanted = np.concatenate([exact.all_logits(text) for text in texts])
    expected = log_softmax(wanted)
    for precision, row, bar in [*((p, None, bar) for p, bar in BARS.items()), *OTHER_ROWS]:
        wire = numerics_of(precision, exact.config.hidden, row)
        name = f"{precision}, {row} rows" if row else str(precision)
        model = Reference(folder, precision=precision, wire=wire)
        logits = np.concatenate([model.all_logits(text) for text in texts])
        same = 100 * float((logits.argmax(axis=1) == wanted.argmax(axis=1)).mean())
        found = log_softmax(logits)
        divergence = float((np.exp(expected) * (expected - found)).sum(axis=1).mean())
        size = precision.total_bytes(model.config) / exact.config.total_bytes(4)
        yield Row(
            f"{name}: positions with exact mode's most likely token",
            round(same, 2),
            "%",
            f">= {bar:g} %",
            same >= bar,
            f"measured: {len(wanted):,} positions of perfuse-tiny, seed {seed}; KL divergence "
            f"{divergence:.2g} nats; weights take {size:.0%}",
        )


def random_rows(seed: int) -> Iterator[Row]:
    from benchmarks.random_models import deepseek_v3_on_kernels, save_random_model

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random_model(deepseek_v3_on_kernels(), seed, folder, shards=False)
        exact = Reference(folder)
        rng = np.random.default_rng(seed)
        shape = (RANDOM_TEXTS, RANDOM_TOKENS)
        texts = rng.integers(0, exact.config.vocab, shape).tolist()
        wanted = np.concatenate([exact.all_logits(text) for text in texts])
        for precision, bar in RANDOM_BARS.items():
            wire = numerics_of(precision, exact.config.hidden)
            model = Reference(folder, precision=precision, wire=wire)
            logits = np.concatenate([model.all_logits(text) for text in texts])
            error = 100 * float(np.abs(logits - wanted).mean() / wanted.std())
            same = float((logits.argmax(axis=1) == wanted.argmax(axis=1)).mean())
            yield Row(
                f"{precision}: mean error of a random DeepSeek-V3's logits, of their spread",
                round(error, 2),
                "%",
                f"<= {bar:g} %",
                error <= bar,
                f"measured: {len(wanted):,} positions, seed {seed}; {same:.1%} of them with exact "
                "mode's most likely token",
            )


def main() -> int:
    parser = arguments("What bf16, int8 and int4 lose beside exact mode.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return report([*rows(options.seed), *random_rows(options.seed)], options.json, "precision")


if __name__ == "__main__":
    sys.exit(main())
