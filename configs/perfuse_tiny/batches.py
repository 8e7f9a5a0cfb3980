"""What a run trains on: its hyperparameters, and the batches that they and a step decide.

A step's batch depends only on the seed and the step, so a run that resumes from its checkpoint
sees the same data as one that was never stopped.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from configs.perfuse_tiny.chats import training_chat
from configs.perfuse_tiny.tokenizer import END_ID, PAD_ID, START_ID, render

POOL = 8  # batches drawn together and sorted by length, so that little of a batch is padding


@dataclass(frozen=True)
class Plan:
    """Hyperparameters of a run."""

    steps: int = 4_400
    batch: int = 24
    muon_rate: float = 0.02
    adam_rate: float = 0.004
    warmup: int = 100
    cooldown: float = 0.6
    other_weight: float = 0.03
    balance_weight: float = 0.01
    seed: int = 7

    def rate(self, step: int) -> float:
        """Return the learning-rate factor: warm up, hold, then fall linearly to 0."""
        falling = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return min(1.0, (step + 1) / self.warmup, falling)


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids and loss weights of their predictions, both [B, T]."""

    ids: Tensor
    weights: Tensor


def answer_mask(ids: list[int], header: list[int]) -> list[bool]:
    """Mark the tokens of the assistant's answers, the end tokens included."""
    mask, inside = [False] * len(ids), False
    for index, token in enumerate(ids):
        if token == START_ID:
            inside = False
        mask[index] = inside
        if inside and token == END_ID:
            inside = False
        if ids[max(0, index + 1 - len(header)) : index + 1] == header:
            inside = True
    return mask


def collate(rows: list[list[int]], header: list[int], other_weight: float) -> Batch:
    """Pad rows on the right; answers weigh 1 and all other tokens ``other_weight``."""
    length = max(map(len, rows))
    ids = np.full((len(rows), length), PAD_ID, dtype=np.int64)
    weights = np.zeros((len(rows), length), dtype=np.float32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask = np.array(answer_mask(row, header))
        weights[index, : len(row)] = np.where(mask, 1.0, other_weight)
    return Batch(torch.from_numpy(ids), torch.from_numpy(weights))


def pool_of_batches(tokenizer: Tokenizer, plan: Plan, index: int) -> list[Batch]:
    """Return the ``POOL`` batches of pool ``index``, similar lengths together."""
    rng = Random(f"{plan.seed}/{index}")
    progress = min(1.0, index * POOL / plan.steps)
    chats = [render(training_chat(rng, progress)) for _ in range(POOL * plan.batch)]
    rows = sorted((encoding.ids for encoding in tokenizer.encode_batch(chats)), key=len)
    header = tokenizer.encode("<|im_start|>assistant\n").ids
    starts = range(0, len(rows), plan.batch)
    batches = [collate(rows[s : s + plan.batch], header, plan.other_weight) for s in starts]
    rng.shuffle(batches)
    return batches


def batches_from(tokenizer: Tokenizer, plan: Plan, step: int) -> Iterator[Batch]:
    """Yield the batches from ``step`` on; the next pool is made while this one trains."""
    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(pool_of_batches, tokenizer, plan, step // POOL)
        skip = step % POOL
        for index in range(step // POOL + 1, math.ceil(plan.steps / POOL) + 1):
            pool = waiting.result()
            waiting = worker.submit(pool_of_batches, tokenizer, plan, index)
            yield from pool[skip:]
            skip = 0
