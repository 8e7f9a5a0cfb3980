"""Which index a vector store has, and how large its pieces are. Pure.

What is left out is computed from the number of passages of a shard when its index is trained.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self, cast, get_args

IndexKind = Literal["exact", "ivf_flat", "ivf_pq"]
KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
# Of a subquantiser: its codes are bytes.
CODEWORDS = 256
# FAISS trains no centroid well on fewer points (ClusteringParameters.min_points_per_centroid).
POINTS_PER_CENTROID_MIN = 39
# ASSUMED: a scan of fewer passages takes about as long as it takes to begin one.
ROWS_MIN = 4096
# An index is trained again when the shard is so many times as large: all trainings together cost a
# fixed multiple of the last one.
GROWTH = 2
# Lists for each sqrt(passages): FAISS's guidelines begin at 4, which reads no less and takes longer
# to train. One list in LISTS_PER_PROBE is probed, DIMS_PER_CODE dimensions are a byte of a
# code. Of 300,000 clustered vectors of 384 values they found 97.6 % of the best ten in a 1/89 of a
# scan's bytes; see `python -m benchmarks.memory`.
LISTS_PER_ROOT, LISTS_PER_PROBE, DIMS_PER_CODE, RERANK = 2, 16, 8, 256


class Sizes(NamedTuple):
    """nlist     inverted lists           nprobe   of them that a query reads, the nearest first
    m         bytes of a code: subquantisers; 0 where lists hold whole vectors
    rerank    candidates, by their codes, whose vectors are read and compared
    """

    nlist: int
    nprobe: int
    m: int
    rerank: int


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """What was asked for; 0 leaves a size to `sizes`."""

    kind: IndexKind = "exact"
    nlist: int = 0
    nprobe: int = 0
    m: int = 0
    rerank: int = 0

    def check(self, dim: int) -> None:
        """Raises ValueError for what fits no vectors of `dim` values."""
        if self.m and dim % self.m:
            raise ValueError(f"m is {self.m}: {m_that_fits(self.m, dim)}")

    def check_rows(self, num_rows: int) -> None:
        """Raises ValueError for more lists than so many passages of a shard can be cut into."""
        most = num_rows // POINTS_PER_CENTROID_MIN
        if self.nlist > max(1, most):
            raise ValueError(
                f"nlist is {self.nlist}, and a list needs {POINTS_PER_CENTROID_MIN} passages to be "
                f"learned from: of {num_rows:,}, which a memory server has at least, at most "
                f"{max(1, most)} can be; lower it, or leave it out"
            )

    @property
    def rows_min(self) -> int:
        """Passages of a shard below which it is scanned."""
        points = [self.nlist, CODEWORDS if self.kind == "ivf_pq" else 0]
        return max(ROWS_MIN, POINTS_PER_CENTROID_MIN * max(points))

    def is_due(self, num_rows: int, num_trained: int) -> bool:
        """Whether an index is to be trained: `num_trained` rows were there the last time, 0 if
        there was none.
        """
        return self.kind != "exact" and num_rows >= max(self.rows_min, GROWTH * num_trained)

    def sizes(self, num_rows: int, dim: int) -> Sizes:
        """Of an index of so many vectors of `dim` values."""
        enough = max(1, num_rows // POINTS_PER_CENTROID_MIN)
        nlist = self.nlist or min(enough, LISTS_PER_ROOT * math.isqrt(num_rows))
        nprobe = min(nlist, self.nprobe or math.ceil(nlist / LISTS_PER_PROBE))
        if self.kind != "ivf_pq":
            return Sizes(nlist, nprobe, 0, 0)
        return Sizes(nlist, nprobe, self.m or default_m(dim), self.rerank or RERANK)

    def to_plain(self) -> dict[str, Any]:
        """Nothing for the default; what is 0 is left out."""
        return {} if self == IndexChoice() else {k: v for k, v in asdict(self).items() if v}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The reverse of `to_plain`. Raises ValueError for what it never says."""
        kind = plain.get("kind", "exact")
        numbers = {key: value for key, value in plain.items() if key != "kind"}
        known = {"nlist", "nprobe", "m", "rerank"}
        if kind not in KINDS or not known.issuperset(numbers):
            raise ValueError(f"index is {dict(plain)!r:.200}: it is none that there is")
        if not all(type(value) is int and value > 0 for value in numbers.values()):
            raise ValueError(f"index is {dict(plain)!r:.200}: its sizes are whole numbers above 0")
        return cls(cast(IndexKind, kind), **numbers)


EXACT = IndexChoice()


def default_m(dim: int) -> int:
    """The largest divisor of dim that leaves DIMS_PER_CODE dimensions to each byte, or more."""
    return max(m for m in range(1, max(1, dim // DIMS_PER_CODE) + 1) if dim % m == 0)


def m_that_fits(m: int, dim: int) -> str:
    """What would, for whoever asked for an m that does not."""
    divisors = [n for n in range(1, dim + 1) if dim % n == 0]
    below = max(n for n in divisors if n <= max(m, 1))
    above = min((n for n in divisors if n >= m), default=dim)
    near = f"{below} or {above}" if below != above else f"{below}"
    return f"it must divide the {dim} values of a vector, as {near} does"
