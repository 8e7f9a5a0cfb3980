"""Measure an exported perfuse-tiny on the shipped questions, with and without retrieval.

Everything goes through transformers and the exported files alone, as a user of the folder would.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.perfuse_tiny import MODEL_DIR, Question, load_corpus, load_questions
from configs.perfuse_tiny.cards import RETRIEVED
from configs.perfuse_tiny.chats import Message, as_messages
from configs.perfuse_tiny.retrieval import HashingRetriever

LONGEST_ANSWER = 16


@dataclass(frozen=True)
class Decoded:
    """A greedy answer and the smallest lead (in logits) of a chosen token over the next best."""

    text: str
    margin: float


def prompt(question: Question, passages: list[str]) -> list[Message]:
    """Return the chat that serving sends: the passages best first, then the question."""
    return as_messages(passages, [(question.question, "")])[:-1]


class Reader:
    """The exported model and its tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")

    @torch.no_grad()
    def answer(self, chats: list[list[Message]]) -> list[Decoded]:
        """Decode greedily the answers to chats of one batch (padded on the left)."""
        inputs = self.tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        output = self.model.generate(
            **inputs,
            max_new_tokens=LONGEST_ANSWER,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens = output.sequences[:, inputs["input_ids"].shape[1] :]  # [B, steps]
        best = torch.stack(output.logits, dim=1).topk(2).values  # [B, steps, 2]
        leads = best[..., 0] - best[..., 1]
        leads[tokens == self.model.config.pad_token_id] = torch.inf  # after the end token
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [Decoded(text, float(lead.min())) for text, lead in zip(texts, leads, strict=True)]

    def answer_all(self, chats: list[list[Message]], batch: int = 50) -> list[Decoded]:
        """Decode all chats, ``batch`` at a time."""
        parts = (chats[start : start + batch] for start in range(0, len(chats), batch))
        return [decoded for part in parts for decoded in self.answer(part)]


def recall(questions: list[Question], found: list[list[int]]) -> float:
    """Return how many answerable questions have their card among the passages found."""
    hits = [q.card in f for q, f in zip(questions, found, strict=True) if q.card is not None]
    return sum(hits) / len(hits)


def report(name: str, questions: list[Question], answers: list[Decoded]) -> list[int]:
    """Print the exact rate and the margins; return the indices of the wrong answers."""
    wrong = [
        index
        for index, (q, a) in enumerate(zip(questions, answers, strict=True))
        if q.answer != a.text
    ]
    margins = sorted(a.margin for a in answers)
    print(
        f"{name}: exact {1 - len(wrong) / len(questions):.3f} "
        f"({len(wrong)} of {len(questions)} wrong), top-1 margin: smallest {margins[0]:.3f}, "
        f"1st percentile {margins[len(margins) // 100]:.3f}, "
        f"median {margins[len(margins) // 2]:.3f}"
    )
    return wrong


def main() -> None:
    """Evaluate the folder given on the command line."""
    parser = argparse.ArgumentParser(description="Evaluate perfuse-tiny on its questions.")
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--verbose", action="store_true", help="show the wrong answers")
    arguments = parser.parse_args()
    questions, corpus = load_questions(), load_corpus()
    found = HashingRetriever(corpus).search([q.question for q in questions], RETRIEVED)
    print(f"recall@{RETRIEVED}: {recall(questions, found):.4f}")
    reader = Reader(arguments.model)
    passages = [[corpus[index] for index in hits] for hits in found]
    chats = [prompt(q, p) for q, p in zip(questions, passages, strict=True)]
    answers = reader.answer_all(chats)
    wrong = report("with retrieval", questions, answers)
    if arguments.verbose:
        for index in wrong:
            print(passages[index], questions[index], answers[index])
    bare = reader.answer_all([prompt(q, []) for q in questions])
    report("without retrieval", questions, bare)


if __name__ == "__main__":
    main()
