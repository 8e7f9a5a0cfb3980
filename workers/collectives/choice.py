"""Which algorithm is the quickest for a size, by the group's own link alone.

The model is alpha and beta (Thakur, Rabenseifner and Gropp, IJHPCA 2005): with n ranks, S bytes,
a the start-up and latency of a message, and t(b) what b bytes and their head take of a lane:

    direct               a + (n - 1) t(S)
    two_shot             2 (a + (n - 1) t(S/n))
    ring                 2 (n - 1) (a + t(S/n))
    recursive_doubling   ceil(log2 n) (a + t(S))
    halving_doubling     2 ceil(log2 n) (a + t(0)) + 2 (n - 1)/n (t(S) - t(0))

It knows no topology: any two ranks are as near as any others. So of large shares two shots are the
quickest, and of small ones a single shot; what a message costs beside its bytes moves the sizes
between. A ring or halving and doubling are for links on which many messages at once cost more than
their bytes: where the topology says so, name one by hand.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from configs.schema.collectives import Algorithm
from configs.schema.collectives import AllReduce as Chosen
from configs.schema.link import LinkSpec
from workers.collectives.group import Group
from workers.wire.curve import lane_ns
from workers.wire.kind import ENVELOPE_BYTES

Model = Callable[[int, int, LinkSpec], int]


def _alpha_ns(link: LinkSpec) -> int:
    return link.startup_ns + link.latency_ns


def _beta_ns(num_bytes: int, link: LinkSpec) -> int:
    return lane_ns(link, ENVELOPE_BYTES + num_bytes)


def _part(num_bytes: int, num_ranks: int) -> int:
    return -(-num_bytes // num_ranks)


def _direct(n: int, size: int, link: LinkSpec) -> int:
    return _alpha_ns(link) + (n - 1) * _beta_ns(size, link)


def _two_shot(n: int, size: int, link: LinkSpec) -> int:
    return 2 * _direct(n, _part(size, n), link)


def _ring(n: int, size: int, link: LinkSpec) -> int:
    return 2 * (n - 1) * (_alpha_ns(link) + _beta_ns(_part(size, n), link))


def _recursive_doubling(n: int, size: int, link: LinkSpec) -> int:
    return (n - 1).bit_length() * (_alpha_ns(link) + _beta_ns(size, link))


def _halving_doubling(n: int, size: int, link: LinkSpec) -> int:
    head_ns = _beta_ns(0, link)
    bytes_ns = (n - 1) * (_beta_ns(size, link) - head_ns) // n
    return 2 * ((n - 1).bit_length() * (_alpha_ns(link) + head_ns) + bytes_ns)


# The first of equals is chosen: fewer messages before more.
MODELS: Mapping[Algorithm, Model] = {
    "direct": _direct,
    "recursive_doubling": _recursive_doubling,
    "two_shot": _two_shot,
    "halving_doubling": _halving_doubling,
    "ring": _ring,
}


@lru_cache(maxsize=4096)
def quickest(num_ranks: int, num_bytes: int, link: LinkSpec) -> Algorithm:
    """Of an all-reduce of so many bytes a rank."""
    num_ranks = max(num_ranks, 2)
    return min(MODELS, key=lambda algorithm: MODELS[algorithm](num_ranks, num_bytes, link))


def crossovers(num_ranks: int, link: LinkSpec, most: int = 1 << 30) -> list[tuple[int, Algorithm]]:
    """(bytes, algorithm): from so many bytes on, up to `most`, it is the quickest."""
    found = [(1, quickest(num_ranks, 1, link))]
    low = 1
    while quickest(num_ranks, most, link) != found[-1][1]:
        high = low
        while quickest(num_ranks, high, link) == found[-1][1]:
            low, high = high, min(2 * high, most)
        while high - low > 1:
            middle = (low + high) // 2
            if quickest(num_ranks, middle, link) == found[-1][1]:
                low = middle
            else:
                high = middle
        found.append((high, quickest(num_ranks, high, link)))
        low = high
    return found


def chosen(asked: Chosen, group: Group) -> Algorithm | Callable[[int], Algorithm]:
    """What `placement.collectives.all_reduce` asks for, as `AllReduce` takes it."""
    if asked != "auto":
        return asked
    return lambda num_bytes: quickest(group.num_ranks, num_bytes, group.link)
