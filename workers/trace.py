"""What happened, in one record type: trace hash, latency breakdown and overruns all come from here.

In the virtual world one Trace serves all nodes, and its hash says whether two runs were the same.
In a live world each node has its own, and the driver gathers them at the end.
"""

import hashlib
from collections import deque
from dataclasses import dataclass

from workers.hardware.work import Work
from workers.message import Message

# Enough for a demo's worth of events of one node; older records fall out, counters and hash go on.
RECORDS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened.

    at_ns     when it was due           what     "message", "run" or a worker's own word
    subject   kind or work name         detail   who, and to whom
    late_ns   how long after its due time it really ended (negative: it was early and waited)
    """

    at_ns: int
    what: str
    subject: str
    detail: str
    request_id: str
    late_ns: int


class Trace:
    """Records of one node, or of a whole virtual world."""

    def __init__(self, *, hashed: bool = False) -> None:
        self.records: deque[Record] = deque(maxlen=RECORDS_MAX)
        self.num_records = 0
        self._hash = hashlib.blake2b(digest_size=16) if hashed else None

    def note(
        self,
        at_ns: int,
        what: str,
        subject: str,
        detail: str = "",
        request_id: str = "",
        late_ns: int = 0,
    ) -> None:
        self.num_records += 1
        self.records.append(Record(at_ns, what, subject, detail, request_id, late_ns))
        if self._hash is not None:
            self._hash.update(f"{at_ns}|{what}|{subject}|{detail}|{request_id}\n".encode())

    def delivered(self, message: Message, due_ns: int, late_ns: int) -> None:
        detail = (
            f"{message.source}>{message.destination} {message.declared_bytes} {message.checksum}"
        )
        self.note(due_ns, "message", message.kind, detail, message.request_id, late_ns)

    def ran(self, work: Work, start_ns: int, due_ns: int, late_ns: int) -> None:
        self.note(due_ns, "run", work.name, str(due_ns - start_ns), "", late_ns)

    def digest(self) -> str:
        """Hash over all records so far; only of a trace made with `hashed`."""
        assert self._hash is not None, "this trace keeps no hash"
        return self._hash.hexdigest()
