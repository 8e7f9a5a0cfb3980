"""Made-up device cards, questions about them and training conversations.

Everything here is text made with ``random.Random(seed)`` and the standard library, so the same seed
always gives the same corpus. Device names are syllables plus a number (``Vextal-7``). A hash of the
name's stem puts every name into exactly one split, so training cannot meet a name (nor, with it, a
name-value pair) of the shipped corpus, whatever the seeds are.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from configs.perfuse_tiny import CORPUS_DIR, QUESTIONS, Question

Split = Literal["train", "validation", "shipped"]
Message = dict[str, str]

UNKNOWN = "I do not know"
CORPUS_SEED = 20_240_607
CORPUS_DEVICES = 440
CARDS_PER_DEVICE = 5
QUESTION_COUNT = 500
UNANSWERABLE_COUNT = 20
RETRIEVED = 3
EASY_PART = 0.1  # part of the training over which easy chats fade out

ONSETS = (
    "Vex", "Nor", "Bel", "Kra", "Zan", "Tor", "Mil", "Dra", "Fen", "Gal", "Hux", "Jor", "Lum",
    "Pel", "Quo", "Ras", "Syl", "Tam", "Wim", "Yol"
)  # fmt: skip
MIDDLES = ("a", "e", "i", "o", "u")
CODAS = (
    "tal", "bel", "dox", "fin", "gar", "hem", "jax", "kor", "lon", "mex", "nik", "pod", "rix",
    "sol", "tus", "van", "wex", "zor", "bis", "dra"
)  # fmt: skip
SYLLABLE = 3  # letters of every first and last syllable

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


# --------------------------------------------------------------------------------------- names


def split_of(name: str) -> Split:
    """Return the only split that may use ``name``: it depends on the stem before the hyphen."""
    bucket = zlib.crc32(name.split("-")[0].encode()) % 10
    if bucket < 2:
        return "shipped"
    return "validation" if bucket == 2 else "train"


def _stem(rng: Random) -> str:
    """Draw two syllables, or three in two of five names."""
    middle = rng.choice(MIDDLES) if rng.random() < 0.4 else ""
    return rng.choice(ONSETS) + middle + rng.choice(CODAS)


def make_name(rng: Random, split: Split) -> str:
    """Draw a device name of ``split``."""
    while True:
        stem = _stem(rng)
        if split_of(stem) == split:
            return f"{stem}-{rng.randint(1, 99)}"


def _near_number(rng: Random, number: str) -> str:
    """Change one digit of ``number``, or in half of the cases all of it."""
    if rng.random() < 0.5:
        return str(rng.randint(1, 99))
    place = rng.randrange(len(number))
    return number[:place] + rng.choice("123456789") + number[place + 1 :]


def similar_name(rng: Random, name: str, split: Split) -> str:
    """Draw another name of ``split`` that differs in one to three of its four parts."""
    stem, number = name.split("-")
    while True:
        onset, middle, coda = stem[:SYLLABLE], stem[SYLLABLE:-SYLLABLE], stem[-SYLLABLE:]
        near = number
        for part in rng.sample(range(4), rng.choice((1, 1, 2, 2, 3))):
            if part == 0:
                onset = rng.choice(ONSETS)
            elif part == 1:
                middle = rng.choice(("", *MIDDLES))
            elif part == 2:
                coda = rng.choice(CODAS)
            else:
                near = _near_number(rng, number)
        other = f"{onset}{middle}{coda}-{near}"
        if other != name and split_of(other) == split:
            return other


# --------------------------------------------------------------------------- cards and questions


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


# ------------------------------------------------------------------------------- conversations


def as_messages(passages: list[str], turns: list[tuple[str, str]]) -> list[Message]:
    """Lay out passages (a system message, absent if there are none) and the turns as a chat."""
    messages: list[Message] = []
    if passages:
        messages.append({"role": "system", "content": "\n".join(passages)})
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


def _passage_keys(rng: Random, count: int, split: Split) -> list[tuple[str, str]]:
    """Draw ``count`` distinct (device, attribute) pairs that are easily taken for one another."""
    device = make_name(rng, split)
    devices, kind = [device], rng.random()
    if kind < 0.45:  # what retrieval returns most often: one device, or nearly
        devices += [similar_name(rng, device, split)] if rng.random() < 0.4 else []
        attributes = rng.sample(sorted(BY_NAME), max(count, 2))
    elif kind < 0.7:  # one attribute of several devices, or nearly
        attributes = rng.sample(sorted(BY_NAME), rng.choice((1, 1, 2)))
    else:
        attributes = rng.sample(sorted(BY_NAME), max(2, count // 2 + 1))
    while len(devices) * len(attributes) < count or (kind >= 0.7 and len(devices) < 2):
        near = rng.random() < 0.75
        fresh = similar_name(rng, device, split) if near else make_name(rng, split)
        if fresh not in devices:
            devices.append(fresh)
    return rng.sample([(d, a) for d in devices for a in attributes], count)


def _untold(rng: Random, cards: list[Card], split: Split) -> tuple[str, str]:
    """Draw a question's (device, attribute) that none of ``cards`` tells but some come close to."""
    told = {(card.device, card.attribute) for card in cards}
    while True:
        card = rng.choice(cards)
        kind = rng.random()
        if kind < 0.55:
            pair = card.device, rng.choice(ATTRIBUTES).name
        elif kind < 0.7:
            pair = card.device, rng.choice(cards).attribute
        elif kind < 0.9:
            pair = similar_name(rng, card.device, split), card.attribute
        else:
            pair = make_name(rng, split), card.attribute
        if pair not in told:
            return pair


def conversation(
    rng: Random, passages: int, turns: int, unknown: float = 0.15, split: Split = "train"
) -> list[Message]:
    """Return a chat with ``turns`` questions about ``passages`` cards (shuffled), some untold.

    Several turns over the same passages give several supervised answers for one reading; no
    question is asked twice, so an earlier answer never gives away a later one.
    """
    if passages == 0:
        question = ask(rng, make_name(rng, split), rng.choice(ATTRIBUTES).name)
        return as_messages([], [(question, UNKNOWN)])
    cards = [make_card(rng, d, a) for d, a in _passage_keys(rng, passages, split)]
    waiting = rng.sample(cards, len(cards))
    chat: list[tuple[str, str]] = []
    for _ in range(turns):
        if not waiting or rng.random() < unknown:
            chat.append((ask(rng, *_untold(rng, cards, split)), UNKNOWN))
        else:
            card = waiting.pop()
            chat.append((ask(rng, card.device, card.attribute), card.value))
    return as_messages([card.text for card in cards], chat)


def copying(rng: Random, cards: int) -> list[Message]:
    """Return a chat that repeats cards word by word: every token of the answer teaches copying."""
    texts = [
        make_card(rng, make_name(rng, "train"), rng.choice(ATTRIBUTES).name).text
        for _ in range(cards)
    ]
    text = " ".join(texts)
    return as_messages([], [("Repeat: " + text, text)])


def training_chat(rng: Random, progress: float) -> list[Message]:
    """Draw one training chat; ``progress`` (0 to 1) moves the mix from easy to serving-like.

    One or two passages first, where copying is quickly found; then several questions about up to
    five passages; and more and more of what serving asks, one question about the top 3.
    """
    if rng.random() < 0.2 - 2 * progress:
        return copying(rng, 1)
    if rng.random() < 0.03:
        return conversation(rng, 0, 1)
    if progress < EASY_PART and rng.random() > progress / EASY_PART:
        passages = rng.randint(1, 2)
        return conversation(rng, passages, passages)
    if rng.random() < 0.15 + 0.5 * progress**2:
        return conversation(rng, rng.choice((1, 2, 3, 3, 3, 3)), 1)
    passages = rng.choice((2, 3, 3, 4, 5))
    return conversation(rng, passages, rng.randint(2, passages))


def training_chats(seed: int, progress: float = 1.0) -> Iterator[list[Message]]:
    """Yield training chats for ever, deterministically from ``seed``."""
    rng = Random(seed)
    while True:
        yield training_chat(rng, progress)


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
