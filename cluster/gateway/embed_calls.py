"""A list of texts as calls of bounded size: whoever gives up stops the rest, and nobody's list
keeps others' waiting until its end.
"""

from collections.abc import Awaitable, Iterator, Sequence
from typing import Protocol

import numpy as np

from cluster.api.embedding import Embed, Embedded
from workers.errors import DeadlineExceeded
from workers.host.clock.base import Clock

# Of one call: to hash so many characters takes some 50 ms, and the answer is 256 KiB.
CHARS_AT_ONCE, TEXTS_AT_ONCE = 1 << 16, 64


class Call(Protocol):
    def __call__(
        self, content: Embed, request_id: str = "", within_ns: int = 0
    ) -> Awaitable[Embedded]: ...


async def embed_all(
    model: str, texts: Sequence[str], call: Call, clock: Clock, within_ns: int
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
        parts.append(await call(Embed(model, part, first), within_ns=left_ns))
    return Embedded(
        np.concatenate([part.vectors for part in parts]), sum(part.num_tokens for part in parts)
    )


def _parts(texts: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(index of the first, texts), at least one each."""
    start, chars = 0, 0
    for index, text in enumerate(texts):
        if index > start and (chars + len(text) > CHARS_AT_ONCE or index - start >= TEXTS_AT_ONCE):
            yield start, tuple(texts[start:index])
            start, chars = index, 0
        chars += len(text)
    yield start, tuple(texts[start:])
