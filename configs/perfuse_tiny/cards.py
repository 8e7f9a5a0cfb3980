"""Cards of made-up devices, and questions about them: the shipped corpus.

Everything here is text made with ``random.Random(seed)`` and the standard library, so the same seed
always gives the same corpus.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from configs.perfuse_tiny import CORPUS_DIR, QUESTIONS, Question
from configs.perfuse_tiny.names import Split, make_name

UNKNOWN = "I do not know"
CORPUS_SEED = 20_240_607
CORPUS_DEVICES = 440
CARDS_PER_DEVICE = 5
QUESTION_COUNT = 500
UNANSWERABLE_COUNT = 20
RETRIEVED = 3

COLOURS = ("red", "green", "blue", "white", "black", "grey", "orange", "silver")


@dataclass(frozen=True)
class Attribute:
    """A property of a device and how its values are drawn (``draw`` returns value and unit)."""

    name: str
    draw: Callable[[Random], str]


def _integer(unit: str, least_digits: int, most_digits: int) -> Callable[[Random], str]:
    """Draw an integer with a uniform number of digits, so that short values are not rare."""

    def draw(rng: Random) -> str:
        digits = rng.randint(least_digits, most_digits)
        return f"{rng.randint(10 ** (digits - 1), 10**digits - 1)} {unit}"

    return draw


def _decimal(unit: str, most: int) -> Callable[[Random], str]:
    """Draw a number with one decimal, below ``most``."""

    def draw(rng: Random) -> str:
        return f"{rng.randint(0, most - 1)}.{rng.randint(0, 9)} {unit}"

    return draw


def _word(words: tuple[str, ...]) -> Callable[[Random], str]:
    """Draw one of ``words``."""

    def draw(rng: Random) -> str:
        return rng.choice(words)

    return draw


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("bandwidth", _integer("GB/s", 3, 4)),
    Attribute("memory", _integer("GB", 1, 4)),
    Attribute("power", _integer("W", 2, 4)),
    Attribute("clock", _integer("MHz", 3, 4)),
    Attribute("latency", _integer("ns", 1, 4)),
    Attribute("width", _integer("mm", 2, 4)),
    Attribute("price", _integer("USD", 3, 5)),
    Attribute("weight", _decimal("kg", 100)),
    Attribute("voltage", _decimal("V", 50)),
    Attribute("colour", _word(COLOURS)),
)
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}

# A name always follows a space, so that it has the same tokens in a card and in a question.
CARD_TEMPLATES = (
    "The {attribute} of {device} is {value}.",
    "The {device} has a {attribute} of {value}.",
    "For the {device}, the {attribute} is {value}.",
)
QUESTION_TEMPLATES = (
    "What is the {attribute} of {device}?",
    "What {attribute} does {device} have?",
    "Tell me the {attribute} of {device}.",
    "Please give the {attribute} of {device}.",
)


@dataclass(frozen=True)
class Card:
    """One sentence of the corpus and the triple it states."""

    device: str
    attribute: str
    value: str
    text: str


def make_card(rng: Random, device: str, attribute: str) -> Card:
    """State a fresh value of ``attribute`` in one of the sentence templates."""
    value = BY_NAME[attribute].draw(rng)
    template = rng.choice(CARD_TEMPLATES)
    text = template.format(attribute=attribute, device=device, value=value)
    return Card(device, attribute, value, text)


def ask(rng: Random, device: str, attribute: str) -> str:
    """Ask for ``attribute`` of ``device`` in one of the question templates."""
    return rng.choice(QUESTION_TEMPLATES).format(attribute=attribute, device=device)


def make_corpus(
    seed: int = CORPUS_SEED, split: Split = "shipped", devices: int = CORPUS_DEVICES
) -> list[Card]:
    """Return ``devices * CARDS_PER_DEVICE`` shuffled cards; no two devices share a stem."""
    rng = Random(seed)
    names: dict[str, str] = {}
    while len(names) < devices:
        name = make_name(rng, split)
        names.setdefault(name.split("-")[0], name)
    cards = [
        make_card(rng, name, attribute)
        for name in names.values()
        for attribute in rng.sample(sorted(BY_NAME), CARDS_PER_DEVICE)
    ]
    rng.shuffle(cards)
    return cards


def make_questions(
    cards: list[Card],
    seed: int = CORPUS_SEED,
    count: int = QUESTION_COUNT,
    unanswerable: int = UNANSWERABLE_COUNT,
) -> list[Question]:
    """Ask about ``count - unanswerable`` cards and about attributes that no card tells."""
    rng = Random(seed + 1)
    told: dict[str, set[str]] = {}
    for card in cards:
        told.setdefault(card.device, set()).add(card.attribute)
    questions = [
        Question(ask(rng, cards[index].device, cards[index].attribute), cards[index].value, index)
        for index in rng.sample(range(len(cards)), count - unanswerable)
    ]
    for device in rng.sample(sorted(told), unanswerable):
        attribute = rng.choice(sorted(set(BY_NAME) - told[device]))
        questions.append(Question(ask(rng, device, attribute), UNKNOWN, None))
    rng.shuffle(questions)
    return questions


def write(corpus_dir: Path = CORPUS_DIR, questions_path: Path = QUESTIONS) -> None:
    """Write the shipped corpus and questions."""
    cards = make_corpus()
    corpus_dir.mkdir(parents=True, exist_ok=True)
    text = "".join(card.text + "\n" for card in cards)
    (corpus_dir / "cards.txt").write_text(text, encoding="utf-8")
    rows = (
        json.dumps({"question": q.question, "answer": q.answer, "card": q.card})
        for q in make_questions(cards)
    )
    questions_path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(description="Write the shipped corpus and questions.").parse_args()
    write()
