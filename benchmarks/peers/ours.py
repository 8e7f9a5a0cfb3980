"""Our kernels in one process: all layers and experts in one call a step. Run by child.py."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kernels
from configs.precision import Precision
from kernels import native
from workers.model.base import StepLayout, StepSequence
from workers.model.factory import open_whole
from workers.model.sampling import choose_all
from workers.model.sampling_params import SamplingParams

MAX_SEQUENCES = 16
DECODE_CONTEXT = 256  # of each sequence: 128 tokens in and 64 out
BLOCK_SIZE = 16
GREEDY = SamplingParams(max_tokens=1)


class Engine:
    """model: path of a Hugging Face folder."""

    def __init__(
        self,
        model: str,
        threads: int,
        max_prompt: int = 2048,
        weights: Any = "bf16",
        kv: Any = "bf16",
    ) -> None:
        native.set_num_threads(threads)
        precision = Precision(weights, kv)
        most = max(MAX_SEQUENCES * DECODE_CONTEXT, max_prompt + BLOCK_SIZE)
        self._model, self._whole_step = open_whole(model, most // BLOCK_SIZE, BLOCK_SIZE, precision)
        self._settings = f"weights {weights}, KV {kv}, blocks of {BLOCK_SIZE}"

    def describe(self) -> dict[str, str]:
        return {"version": str(kernels.build_info()), "settings": self._settings}

    def decode(self, prompts: list[list[int]], new_tokens: int) -> dict[str, object]:
        room = self._model.num_blocks // len(prompts)
        blocks = [tuple(range(i * room, (i + 1) * room)) for i in range(len(prompts))]
        starts = [0] * len(prompts)
        latest = self._step(prompts, starts, blocks)
        tokens = [[token] for token in latest]
        begun = time.perf_counter_ns()
        for step in range(new_tokens - 1):
            starts = [len(prompt) + step for prompt in prompts]
            latest = self._step([[token] for token in latest], starts, blocks)
            for row, token in zip(tokens, latest, strict=True):
                row.append(token)
        elapsed = time.perf_counter_ns() - begun
        return {"tokens": tokens, "decode_ns": elapsed, "steps": new_tokens - 1}

    def prefill(self, prompt: list[int]) -> dict[str, int]:
        begun = time.perf_counter_ns()
        token = self._step([prompt], [0], [tuple(range(self._model.num_blocks))])[0]
        return {"token": token, "prefill_ns": time.perf_counter_ns() - begun}

    def logprobs(self, prompt: list[int]) -> list[float]:
        logits = self._logits([prompt], [0], [tuple(range(self._model.num_blocks))])[0]
        wide = logits.astype(np.float64)
        top = wide.max()
        shifted: list[float] = (wide - top - np.log(np.exp(wide - top).sum())).tolist()
        return shifted

    def _step(
        self, rows: list[list[int]], starts: list[int], blocks: list[tuple[int, ...]]
    ) -> list[int]:
        """One token for each sequence, chosen as the chip chooses."""
        logits_RV = self._logits(rows, starts, blocks)
        num = len(logits_RV)
        return [choice.token_id for choice in choose_all(logits_RV, [GREEDY] * num, [0.0] * num)]

    def _logits(
        self, rows: list[list[int]], starts: list[int], blocks: list[tuple[int, ...]]
    ) -> NDArray[np.float32]:
        layout = StepLayout(
            tuple(
                StepSequence(ids, start, len(row))
                for ids, start, row in zip(blocks, starts, rows, strict=True)
            )
        )
        x = self._model.embed(np.array([token for row in rows for token in row], dtype=np.int64))
        x = self._whole_step(x, layout)
        return self._model.logits(x, np.cumsum([len(row) for row in rows]) - 1)
