"""What energy is spent for: the phases of a request, told by names of work and kinds of message.

A step may compute prompts and new tokens together, and a shard serves whoever waits: then the cause
is a mixture, so many tokens of prefill and so many of decode, and what it costs is split in that
proportion. Weights are read once for all of them, so any other split would be as arbitrary.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum


class Phase(IntEnum):
    """serving: whatever no other names, such as texts, routing and reports."""

    PREFILL = 0
    DECODE = 1
    RETRIEVAL = 2
    KV_TRANSFER = 3
    SERVING = 4


NUM_PHASES = len(Phase)
Mixture = tuple[int, int]  # tokens of prefill, of decode; one of them at least
Cause = Phase | Mixture

OF_WORK: Mapping[str, Phase] = {
    "embed": Phase.RETRIEVAL,
    "search": Phase.RETRIEVAL,
    "store_add": Phase.RETRIEVAL,
    "store_read": Phase.RETRIEVAL,
    "vectors_read": Phase.RETRIEVAL,
    "kv_read": Phase.KV_TRANSFER,
    "kv_write": Phase.KV_TRANSFER,
    "offload_read": Phase.KV_TRANSFER,
    "offload_write": Phase.KV_TRANSFER,
    "pool_get": Phase.KV_TRANSFER,
    "pool_put": Phase.KV_TRANSFER,
    "near_put": Phase.KV_TRANSFER,
}
# Of messages that say nothing of it themselves; a plain reply or an error is of none.
OF_KIND: Mapping[str, Phase] = {
    "shard_create": Phase.RETRIEVAL,
    "shard_size": Phase.RETRIEVAL,
    "shard_add": Phase.RETRIEVAL,
    "shard_take_back": Phase.RETRIEVAL,
    "shard_deleted": Phase.RETRIEVAL,
    "shard_delete": Phase.RETRIEVAL,
    "search": Phase.RETRIEVAL,
    "hits": Phase.RETRIEVAL,
    "search_shipped": Phase.RETRIEVAL,
    "vectors": Phase.RETRIEVAL,
    "vectors_read": Phase.RETRIEVAL,
    "passages": Phase.RETRIEVAL,
    "passages_read": Phase.RETRIEVAL,
    "shard_read": Phase.RETRIEVAL,
    "shard_texts": Phase.RETRIEVAL,
    "kv_blocks": Phase.KV_TRANSFER,
    "start": Phase.KV_TRANSFER,
    "pool_get": Phase.KV_TRANSFER,
    "pool_blocks": Phase.KV_TRANSFER,
    "pool_put": Phase.KV_TRANSFER,
    "pool_stored": Phase.KV_TRANSFER,
    "near_put": Phase.KV_TRANSFER,
    "near_stored": Phase.KV_TRANSFER,
    "near_drop": Phase.KV_TRANSFER,
    "kv_send": Phase.KV_TRANSFER,
    "kv_part": Phase.KV_TRANSFER,
}


def together(parts: Iterable[tuple[Cause, int]]) -> Cause:
    """The cause of what is done for several at once: (cause, tokens) of each.

    A part that is of another phase than prefill and decode is as none: only tokens are split.
    """
    prefill = decode = 0
    for cause, num_tokens in parts:
        if cause is Phase.PREFILL:
            prefill += num_tokens
        elif cause is Phase.DECODE:
            decode += num_tokens
        elif isinstance(cause, tuple):
            here = num_tokens * cause[0] // (cause[0] + cause[1])
            prefill += here
            decode += num_tokens - here
    if prefill and decode:
        return prefill, decode
    if prefill or decode:
        return Phase.PREFILL if prefill else Phase.DECODE
    return Phase.SERVING


def to_json(cause: Cause) -> int | list[int]:
    """As a message's body carries it."""
    return list(cause) if isinstance(cause, tuple) else int(cause)


def from_json(told: object) -> Cause:
    """The reverse. Raises ValueError on what it would not give."""
    if isinstance(told, int):
        return Phase(told)
    if (
        not isinstance(told, list)
        or len(told) != 2
        or not all(isinstance(tokens, int) and tokens > 0 for tokens in told)
    ):
        raise ValueError(f"{told!r} is no mixture: it must be two numbers of tokens above 0")
    return told[0], told[1]
