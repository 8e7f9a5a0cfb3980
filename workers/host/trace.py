"""What happened, as typed records: trace hash, latency breakdown, energy and overruns are all folds
over them.

In the virtual world one Trace serves all nodes, and its hash says whether two runs were the same.
In a live world each node has its own, and the driver gathers them at the end.
"""

import hashlib
from collections import deque
from typing import NamedTuple

# Enough for a demo's worth of events of one node; older records fall out, counters and hash go on.
RECORDS_MAX = 200_000
# So many at once: one text to hash is cheaper than one for each.
KEPT_AT_ONCE = 4_096


class Delivered(NamedTuple):
    """A message reached the worker that it is for.

    at_ns       when its last byte was due there
    num_bytes   what the link charged
    late_ns     how long after its due time it really came (negative: it was early and waited)
    """

    at_ns: int
    kind: str
    source: str
    destination: str
    num_bytes: int
    checksum: int
    request_id: str
    late_ns: int = 0

    def line(self) -> str:
        """All but the lateness, which says something of the host and nothing of the run."""
        at_ns, kind, source, destination, num_bytes, checksum, request_id, _ = (
            self  # by name is slow
        )
        return (
            f"{at_ns}|message|{kind}|{source}>{destination} {num_bytes} {checksum}|{request_id}\n"
        )


class Ran(NamedTuple):
    """A machine did declared work, which was due at `at_ns` and took `took_ns`."""

    at_ns: int
    node: str
    work: str
    took_ns: int
    joules: float
    late_ns: int = 0

    def line(self) -> str:
        return f"{self.at_ns}|run|{self.work}|{self.took_ns}|\n"


class Sampled(NamedTuple):
    """A chip chose the token at a position of a request's stream."""

    at_ns: int
    chip: str
    request_id: str
    position: int
    token_id: int

    def line(self) -> str:
        token = f"{self.position} {self.token_id}"
        return f"{self.at_ns}|token|{token}|{self.chip}|{self.request_id}\n"


class Noted(NamedTuple):
    """A worker's own word about something out of the ordinary."""

    at_ns: int
    what: str
    subject: str
    detail: str = ""
    request_id: str = ""

    def line(self) -> str:
        return f"{self.at_ns}|{self.what}|{self.subject}|{self.detail}|{self.request_id}\n"


Record = Delivered | Ran | Sampled | Noted


class Trace:
    """Records of one node, or of a whole virtual world."""

    def __init__(self, *, hashed: bool = False) -> None:
        self._records: deque[Record] = deque(maxlen=RECORDS_MAX)
        self._fresh: list[Record] = []  # not among them yet, nor hashed
        self._num_kept = 0
        self._hash = hashlib.blake2b(digest_size=16) if hashed else None

    @property
    def records(self) -> "deque[Record]":
        """The latest records, oldest first."""
        self._keep()
        return self._records

    @property
    def num_records(self) -> int:
        """Of all records, also those that fell out."""
        return self._num_kept + len(self._fresh)

    def add(self, record: Record) -> None:
        self._fresh.append(record)
        if len(self._fresh) >= KEPT_AT_ONCE:
            self._keep()

    def note(
        self, at_ns: int, what: str, subject: str, detail: str = "", request_id: str = ""
    ) -> None:
        self.add(Noted(at_ns, what, subject, detail, request_id))

    def digest(self) -> str:
        """Hash over all records so far; only of a trace made with `hashed`."""
        assert self._hash is not None, "this trace keeps no hash"
        self._keep()
        return self._hash.hexdigest()

    def _keep(self) -> None:
        if self._hash is not None:
            self._hash.update("".join([record.line() for record in self._fresh]).encode())
        self._num_kept += len(self._fresh)
        self._records.extend(self._fresh)
        self._fresh.clear()
