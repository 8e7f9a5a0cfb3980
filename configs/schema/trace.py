"""Recorded workloads: which file, and what of it."""

from typing import Literal

from pydantic import Field

from configs.schema.section import Section

REQUESTS_MAX = 1_000_000  # of a run; what is known of each before it comes takes about 100 B
TOKENS_MAX = 1 << 24  # of one prompt or answer

TraceFormat = Literal[
    "mooncake", "azure", "burstgpt", "sharegpt", "vllm", "llmservingsim", "vidur", "aiperf"
]
TraceHistory = Literal["auto", "none", "whole", "added"]
MOONCAKE_BLOCK_TOKENS = 512
BlockTokens = Field(default=MOONCAKE_BLOCK_TOKENS, ge=1, le=1 << 20)


class TraceArrivals(Section):
    """Arrival times and lengths of a recorded trace, whole or its first `num_requests`.

    format         left out, the file's first row tells it
    speedup        divides the recorded gaps, and the delays inside sessions: 2 is twice as fast
    block_tokens   tokens that one of `hash_ids` stands for
    history        whether a later turn's recorded length counts the turns before it (whole), comes
                   on top of them (added), or stands alone (none); auto: as the rows show
    """

    format: TraceFormat | None = None
    path: str
    num_requests: int | None = Field(default=None, ge=1, le=REQUESTS_MAX)
    speedup: float = Field(default=1.0, ge=1e-6, le=1e9)
    block_tokens: int = BlockTokens
    history: TraceHistory = "auto"


class TraceLengths(Section):
    """Lengths or words (and for Mooncake shared prefixes) of the trace in `arrivals`, or of the one
    in `path`, where arrivals are another's; longer ones are cut to `max_input`.
    """

    max_input: int | None = Field(default=None, ge=1)
    max_output: int | None = Field(default=None, ge=1)
    path: str | None = None
    format: TraceFormat | None = None
    block_tokens: int = BlockTokens
    history: TraceHistory = "auto"
