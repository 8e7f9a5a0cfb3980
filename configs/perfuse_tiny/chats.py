"""Training conversations about cards that no corpus holds: drawn afresh, easy ones first."""

from collections.abc import Iterator
from random import Random

from configs.perfuse_tiny.cards import ATTRIBUTES, BY_NAME, UNKNOWN, Card, ask, make_card
from configs.perfuse_tiny.names import Split, make_name, similar_name

Message = dict[str, str]

EASY_PART = 0.1  # part of the training over which easy chats fade out


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
