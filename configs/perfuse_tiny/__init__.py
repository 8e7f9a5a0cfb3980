"""perfuse-tiny: a small Qwen3-MoE model that reads passages, with its corpus and questions.

The folder holds what made the model (``cards`` of devices with ``names``, ``chats`` about them,
``tokenizer``, ``batches``, ``train``), the script that measures it (``evaluate``) and what is
shipped: ``model/``, ``corpus/*.txt`` with one card per line, and ``questions.jsonl``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MODEL_DIR = ROOT / "model"
CORPUS_DIR = ROOT / "corpus"
QUESTIONS = ROOT / "questions.jsonl"


@dataclass(frozen=True)
class Question:
    """One evaluation question; ``card`` is the index of the line that answers it, if any does."""

    question: str
    answer: str
    card: int | None


def load_corpus(folder: Path = CORPUS_DIR) -> list[str]:
    """Return the cards, one per line, over the corpus files in name order (the index order)."""
    lines: list[str] = []
    for path in sorted(folder.glob("*.txt")):
        lines.extend(path.read_text(encoding="utf-8").splitlines())
    return lines


def load_questions(path: Path = QUESTIONS) -> list[Question]:
    """Return the evaluation questions in file order."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Question(row["question"], row["answer"], row["card"]) for row in rows]
