"""Train perfuse-tiny on generated chats and export it in the Hugging Face format.

``python -m configs.perfuse_tiny.train --steps 4400 --out configs/perfuse_tiny/model``

The shipped weights come from 4,400 steps that were resumed twice while the recipe was settled: 400
with batch 32 in a plan of 6,000 steps, up to 1,100 with batch 24 in a plan of 3,200, and the rest
as written here, with the present ``similar_name``. A run from the start repeats the recipe, not
the bits.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor, nn

from configs.perfuse_tiny import MODEL_DIR
from configs.perfuse_tiny.batches import Batch, Plan, batches_from
from configs.perfuse_tiny.muon import Muon
from configs.perfuse_tiny.network import Network, Shape, export
from configs.perfuse_tiny.tokenizer import write_files
from configs.perfuse_tiny.validation import Validation


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
