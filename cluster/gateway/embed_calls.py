"""A list of texts as calls of bounded size: whoever gives up stops the rest, and nobody's list
keeps others' waiting until its end.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence

import numpy as np

from cluster.api.embedding import Embed, Embedded
from workers.errors import DeadlineExceeded
from workers.host.clock.base import Clock

# Of one call: to hash so many characters takes some 50 ms, and the answer is 256 KiB.
CHARS_AT_ONCE, TEXTS_AT_ONCE = 1 << 16, 64
# What a token stands for, for the same: most have fewer.
CHARS_PER_TOKEN = 8

# One text: as it is, or as the served model's tokens.
Input = str | tuple[int, ...]


Call = Callable[[Embed, int], Awaitable[Embedded]]  # within so many ns


async def embed_all(
    model: str, texts: Sequence[Input], call: Call, clock: Clock, within_ns: int
) -> Embedded:
    """All of them. Raises DeadlineExceeded after `within_ns`."""
    clock.join_wall()
    deadline_ns = clock.deadline_floor(clock.now() + within_ns)
    parts: list[Embedded] = []
    for first, part in _parts(texts):
        clock.join_wall()
        left_ns = deadline_ns - clock.now()
        if left_ns <= 0:
            raise DeadlineExceeded(f"not all was embedded within {within_ns / 1e9:g} s")
        parts.append(await call(_asked(model, part, first), left_ns))
    return Embedded(
        np.concatenate([part.vectors for part in parts]), sum(part.num_tokens for part in parts)
    )


def _asked(model: str, part: Sequence[Input], first: int) -> Embed:
    texts = tuple(one for one in part if isinstance(one, str))
    return Embed(model, texts, first, tuple(one for one in part if not isinstance(one, str)))


def _parts(texts: Sequence[Input]) -> Iterator[tuple[int, tuple[Input, ...]]]:
    """(index of the first, texts), at least one each, all strings or none."""
    start, chars = 0, 0
    for index, text in enumerate(texts):
        size = len(text) if isinstance(text, str) else CHARS_PER_TOKEN * len(text)
        is_full = chars + size > CHARS_AT_ONCE or index - start >= TEXTS_AT_ONCE
        if index > start and (is_full or type(text) is not type(texts[start])):
            yield start, tuple(texts[start:index])
            start, chars = index, 0
        chars += size
    yield start, tuple(texts[start:])
