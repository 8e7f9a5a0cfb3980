"""What happened to the cluster, as the router learned of it. Past tense, immutable;
`RouterState.apply` alone acts.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestAdmitted:
    """A request was taken in; it is promised an end."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RequestPrepared:
    """Its prompt is known."""

    request_id: str
    num_prompt: int
    max_tokens: int
    block_hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RequestPlaced:
    """Its chips are chosen and the decode chip holds room for it."""

    request_id: str
    prefill_chip: str
    decode_chip: str


@dataclass(frozen=True, slots=True)
class PlacementRefused:
    """The decode chip had no room after all; the request is back in line."""

    request_id: str


@dataclass(frozen=True, slots=True)
class FirstTokenSampled:
    """Prefill is over; the prefill chip holds its prefix from now on."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """It left, however it ended; all that it held is let go."""

    request_id: str


@dataclass(frozen=True, slots=True)
class ChipLost:
    """A chip does not answer any more."""

    chip: str


Event = (
    RequestAdmitted
    | RequestPrepared
    | RequestPlaced
    | PlacementRefused
    | FirstTokenSampled
    | RequestEnded
    | ChipLost
)
