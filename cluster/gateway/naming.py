"""Ids and seeds: unique among all gateways and restarts, and the same seed for the same run."""

import hashlib
from dataclasses import dataclass

from workers.errors import InvalidRequest

_MASK_64 = (1 << 64) - 1
SEED_MAX = (1 << 63) - 1
_HEADER_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Name:
    """public    echoed as X-Request-Id
    unique    names the work in the cluster
    again     of a request that its client named: the same when it is sent again; else ""
    """

    public: str
    unique: str
    again: str = ""

    @property
    def answer(self) -> str:
        """Names the answer, which is the same one when the request is sent again."""
        return self.again or self.unique


class Naming:
    """Names requests and deals seeds.

    A client may send one X-Request-Id twice, even at once (a retry after a timeout), but the router
    needs ids that are unique: so ours are the client's id plus this incarnation and a count. The
    seed of such a request follows from the client's id, whichever gateway is asked: its answer is
    the same one.
    """

    def __init__(self, incarnation: str, seed: int) -> None:
        self._incarnation = incarnation
        self._seed = seed
        self._num_requests = 0
        self._num_seeds = 0

    def name(self, header: str | None) -> Name:
        """Raises InvalidRequest if the client's id could not be echoed, or read in a log."""
        if header is not None and not is_printable(header):
            raise InvalidRequest(
                f"X-Request-Id must be 1 to {_HEADER_CHARS_MAX} printable ASCII characters, "
                "without spaces",
                param="X-Request-Id",
            )
        self._num_requests += 1
        own = f"{self._incarnation}-{self._num_requests}"
        return Name(header, f"{header}-{own}", header) if header else Name(own, own)

    def seed(self, name: Name) -> int:
        """For the next request that names none: differs from request to request."""
        if not name.again:
            return mix(self._seed ^ self._num_seeds) & SEED_MAX
        named = hashlib.blake2b(f"{self._seed}/{name.public}".encode(), digest_size=8).digest()
        return int.from_bytes(named) & SEED_MAX

    def seed_taken(self) -> None:
        """That request was well-formed. A malformed one takes no seed, hence changes no answer."""
        self._num_seeds += 1


def is_printable(header: str) -> bool:
    return 1 <= len(header) <= _HEADER_CHARS_MAX and all("!" <= c <= "~" for c in header)


def choice_seed(seed: int, choice: int) -> int:
    """The seed of the choice'th of n: the first keeps the user's, so n=1 and n=4 share their first
    answer.
    """
    return seed if choice == 0 else mix(seed + choice * 0x9E3779B97F4A7C15) & SEED_MAX


def mix(x: int) -> int:
    """splitmix64's finaliser (Steele, Lea, Flood 2014): neighbouring numbers come out unrelated."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK_64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return x ^ (x >> 31)
