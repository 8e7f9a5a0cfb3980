"""Who asks for what: the requests of a trial.

All trials of a shape draw their prompts from a few, so that a reference is computed once for many
of them, and so that prefixes are met again, in pools and caches.
"""

from random import Random

from cluster.chaos.shapes import LONGEST
from cluster.chaos.trial import Ask

NUM_ASKS = (11, 18)
# Tokens of an answer. Short ones are made on one chip, or have one token to come when they move.
ANSWER, SHORT = (4, 20), (1, 3)
SHORT_SHARE = 0.33
PROMPT_MAX = LONGEST - ANSWER[1] - 1
NUM_PROMPTS = 12

Prompt = tuple[int, int, int]


def prompts_of(number: int) -> tuple[Prompt, ...]:
    """Of a shape, by its number. Some share how they begin."""
    random = Random(f"chaos prompts {number}")
    found: list[Prompt] = []
    for own in range(NUM_PROMPTS):
        shared = random.choice((0, 0, 16, 40))
        found.append((own, random.randint(max(shared, 1) + 1, PROMPT_MAX), shared))
    return tuple(found)


def draw_asks(random: Random, prompts: tuple[Prompt, ...], within_ns: int) -> tuple[Ask, ...]:
    """Some are asked twice, some sampled, a few left, and of a few the connection breaks."""
    names = range(random.randint(*NUM_ASKS))
    return tuple(draw_ask(random, f"r{number}", prompts, within_ns) for number in names)


def draw_ask(random: Random, name: str, prompts: tuple[Prompt, ...], within_ns: int) -> Ask:
    tokens = SHORT if random.random() < SHORT_SHARE else ANSWER
    return Ask(
        name,
        random.choice(prompts),
        random.randint(*tokens),
        random.randint(0, within_ns),
        random.choice((0.0, 0.0, 0.8)),
        random.randrange(6) if random.random() < 0.1 else None,
        random.randint(1, 6) if random.random() < 0.15 else None,
    )
