"""What is still to be done for a request: a list of stages, the present one first.

A new stage is one type here, one entry in `life.BEGIN` (what is asked for when its turn comes), and
the transition of the event that ends it, which calls `life.advance`.

    retrieve ─ PassagesFound ▶ prepare ─ PromptPrepared ▶ prefill ─ first token ▶ decode ─ last one
"""

from dataclasses import dataclass
from typing import Literal

from cluster.api.request import Request


@dataclass(frozen=True, slots=True)
class Retrieving:
    """Passages are searched."""

    kind: Literal["retrieving"] = "retrieving"


@dataclass(frozen=True, slots=True)
class Preparing:
    """The prompt is rendered and tokenised."""

    kind: Literal["preparing"] = "preparing"


@dataclass(frozen=True, slots=True)
class Prefilling:
    """Room is looked for, then the prompt is computed; over with the first token."""

    kind: Literal["prefilling"] = "prefilling"


@dataclass(frozen=True, slots=True)
class Decoding:
    """The other tokens are computed."""

    kind: Literal["decoding"] = "decoding"


Stage = Retrieving | Preparing | Prefilling | Decoding


def stages_of(request: Request) -> list[Stage]:
    """All that has to be done for a request, in order."""
    first: list[Stage] = [] if request.retrieval is None else [Retrieving()]
    return [*first, Preparing(), *generation()]


def generation() -> list[Stage]:
    """What follows once the prompt is known, and is done again on other chips if it must be."""
    return [Prefilling(), Decoding()]
