"""Train perfuse-tiny on generated chats and export it in the Hugging Face format.

``python -m configs.perfuse_tiny.train --steps 4400 --out configs/perfuse_tiny/model``

A step's batch depends only on the seed and the step, so a run that resumes from its checkpoint
sees the same data as one that was never stopped.

The shipped weights come from 4,400 steps that were resumed twice while the recipe was settled: 400
with batch 32 in a plan of 6,000 steps, up to 1,100 with batch 24 in a plan of 3,200, and the rest
as written here, with the present ``similar_name``. A run from the start repeats the recipe, not
the bits.
"""

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor, nn

from configs.perfuse_tiny import MODEL_DIR, Question
from configs.perfuse_tiny.cards import (
    RETRIEVED,
    Message,
    as_messages,
    make_corpus,
    make_questions,
    training_chat,
)
from configs.perfuse_tiny.muon import Muon
from configs.perfuse_tiny.network import Network, Shape, export
from configs.perfuse_tiny.retrieval import HashingRetriever
from configs.perfuse_tiny.tokenizer import END_ID, PAD_ID, START_ID, render, write_files

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


# ---------------------------------------------------------------------------------------- data


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


# ----------------------------------------------------------------------------------- validation


def prompt_messages(question: Question, passages: list[str]) -> list[Message]:
    """Return the chat that serving sends."""
    return as_messages(passages, [(question.question, question.answer)])[:-1]


class Validation:
    """Questions about a corpus of names that are in neither the training nor the shipped split."""

    def __init__(self, tokenizer: Tokenizer, questions: int = 400) -> None:
        cards = make_corpus(seed=11, split="validation", devices=200)
        asked = make_questions(cards, seed=11, count=questions, unanswerable=questions // 10)
        retriever = HashingRetriever([card.text for card in cards])
        found = retriever.search([q.question for q in asked], RETRIEVED)
        header = tokenizer.encode("<|im_start|>assistant\n").ids
        chats = [
            render(as_messages([cards[i].text for i in hits], [(q.question, q.answer)]))
            for q, hits in zip(asked, found, strict=True)
        ]
        rows = [encoding.ids for encoding in tokenizer.encode_batch(chats)]
        self.batch = collate(rows, header, 0.0)

    @torch.no_grad()
    def exact_rate(self, network: Network) -> float:
        """Return how many answers greedy decoding gets right.

        Greedy decoding gives an answer exactly when every token of it is the most likely one
        after the tokens before it, so one forward pass over the right answers decides.
        """
        logits, _ = network(self.batch.ids[:, :-1])
        right = logits.argmax(-1) == self.batch.ids[:, 1:]
        needed = self.batch.weights[:, 1:] > 0
        return float((right | ~needed).all(dim=1).float().mean())


# ------------------------------------------------------------------------------------- training


def make_optimizers(network: Network, plan: Plan) -> list[torch.optim.Optimizer]:
    """Give Muon the hidden matrices, and AdamW the embedding, the routers and the norms."""
    hidden: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (hidden if name.endswith("_proj") else other).append(parameter)
    return [
        Muon(hidden, plan.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(other, plan.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def loss_of(network: Network, batch: Batch, plan: Plan) -> tuple[Tensor, float]:
    """Return the training loss and the mean loss of the answer tokens."""
    logits, balance = network(batch.ids[:, :-1])
    weights = batch.weights[:, 1:]
    losses = F.cross_entropy(
        logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none"
    ).view_as(weights)
    answers = weights == 1.0
    total = (losses * weights).sum() / answers.sum()
    answer_loss = float(losses.detach()[answers].mean())
    return total + plan.balance_weight * balance, answer_loss


class Trainer:
    """A run that can be stopped and resumed."""

    def __init__(self, plan: Plan, shape: Shape, tokenizer: Tokenizer, checkpoint: Path) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.tokenizer, self.checkpoint = plan, tokenizer, checkpoint
        self.network = Network(shape)
        self.optimizers = make_optimizers(self.network, plan)
        self.step = 0
        if checkpoint.exists():
            self._load()

    def _load(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        self.network.load_state_dict(saved["network"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step = saved["step"]

    def save(self) -> None:
        """Write the checkpoint, replacing the last one at once."""
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "step": self.step,
            },
            temporary,
        )
        temporary.replace(self.checkpoint)

    def train_step(self, batch: Batch) -> float:
        """Take one step and return the answer loss."""
        factor = self.plan.rate(self.step)
        rates = (self.plan.muon_rate, self.plan.adam_rate)
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss, answer_loss = loss_of(self.network, batch, self.plan)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return answer_loss

    def run(self, out: Path, every: int) -> None:
        """Train to the last step; validate, save and export every ``every`` steps."""
        validation = Validation(self.tokenizer)
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  exact {task.fields[exact]:.3f}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns) as progress:
            task = progress.add_task("", total=self.plan.steps, loss=0.0, exact=0.0)
            smooth, started = 0.0, time.perf_counter()
            for batch in batches_from(self.tokenizer, self.plan, self.step):
                loss = self.train_step(batch)
                smooth = 0.98 * smooth + 0.02 * loss if smooth else loss
                progress.update(task, completed=self.step, loss=smooth)
                if self.step % every == 0 or self.step == self.plan.steps:
                    exact = validation.exact_rate(self.network)
                    progress.update(task, exact=exact)
                    seconds = time.perf_counter() - started
                    progress.console.print(
                        f"step {self.step}: loss {smooth:.4f} exact {exact:.4f} {seconds:.0f} s"
                    )
                    self.save()
                    export(self.network, out)
                if self.step == self.plan.steps:
                    break


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Train perfuse-tiny.")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--batch", type=int, default=Plan.batch)
    parser.add_argument("--muon-rate", type=float, default=Plan.muon_rate)
    parser.add_argument("--adam-rate", type=float, default=Plan.adam_rate)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--every", type=int, default=250, help="steps between validations")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=MODEL_DIR)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path("build/perfuse_tiny/checkpoint.pt"),
        help="written at every validation, and resumed from if there",
    )
    return parser.parse_args()


def main() -> None:
    """Train with the tokenizer of the model folder and export to ``--out``."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    plan = Plan(
        steps=arguments.steps,
        batch=arguments.batch,
        muon_rate=arguments.muon_rate,
        adam_rate=arguments.adam_rate,
        seed=arguments.seed,
    )
    write_files(arguments.out, tokenizer)
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(plan, Shape(), tokenizer, arguments.checkpoint)
    trainer.run(arguments.out, arguments.every)


if __name__ == "__main__":
    main()
