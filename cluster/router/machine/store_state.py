"""What the router knows of vector stores. See `state`."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "in_progress", "completed", "failed", "cancelled"
STATUSES = (IN_PROGRESS, COMPLETED, FAILED, CANCELLED)

Span = tuple[int, int]  # first passage id, number of passages


@dataclass(slots=True)
class StoreFile:
    """A file of a store.

    num_bytes    of the file          created_s   Unix seconds, 0 where nobody knows
    attributes   name -> text, number or truth value, for whoever searches
    status       one of STATUSES
    error_code, error   why it failed, in a word and in a line
    spans        its passages, while they can be found
    chunk_tokens, chunk_overlap   of each passage; 0: by lines and paragraphs
    """

    name: str
    num_bytes: int = 0
    created_s: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    status: str = IN_PROGRESS
    error_code: str = ""
    error: str = ""
    spans: list[Span] = field(default_factory=list)
    chunk_tokens: int = 0
    chunk_overlap: int = 0


@dataclass(slots=True)
class StoreState:
    """A vector store, spread over the memory servers.

    is_ready         the memory servers know it
    next_passage_id  ids below are taken
    held_bytes       memory server -> bytes of this store
    lacking          memory servers that came back without their part of it
    num_fills        how often one has been given its part again
    unfinished       additions that are under way, or failed and have yet to be taken back, and what
                     is left of files that were removed
    files            file id -> file, oldest first
    starts, ends     passages that can be found: from starts[i] to before ends[i], in order. Ids in
                     between are of files that are being added, whose adding failed, or that went
    """

    store_id: str
    name: str
    embedder: str
    is_ready: bool = False
    next_passage_id: int = 0
    held_bytes: dict[str, int] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    num_fills: int = 0
    unfinished: list[Span] = field(default_factory=list)
    files: dict[str, StoreFile] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    created_s: int = 0
    # Of what is above, so that a store that grows by one file at a time is told of at a constant
    # cost. With an underscore: the journal leaves them out.
    _num_passages: int = field(init=False, repr=False, compare=False)
    _by_status: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._num_passages = sum(self.ends) - sum(self.starts)
        self._by_status = dict.fromkeys(STATUSES, 0)
        for file in self.files.values():
            self._by_status[file.status] += 1

    @property
    def num_passages(self) -> int:
        return self._num_passages

    def counts(self) -> dict[str, int]:
        """Files by status."""
        return dict(self._by_status)

    def put(self, file_id: str, file: StoreFile) -> None:
        """As the newest one, in place of what has its id."""
        if file_id in self.files:
            self.pop(file_id)
        self.files[file_id] = file
        self._by_status[file.status] += 1

    def pop(self, file_id: str) -> StoreFile:
        file = self.files.pop(file_id)
        self._by_status[file.status] -= 1
        return file

    def become(self, file: StoreFile, status: str) -> None:
        self._by_status[file.status] -= 1
        self._by_status[status] += 1
        file.status = status

    def has(self, passage_id: int) -> bool:
        """Whether a passage can be found."""
        at = bisect_right(self.starts, passage_id) - 1
        return at >= 0 and passage_id < self.ends[at]

    def show(self, span: Span) -> None:
        """These passages can be found from now on."""
        at = bisect_left(self.starts, span[0])
        self.starts.insert(at, span[0])
        self.ends.insert(at, span[0] + span[1])
        self._num_passages += span[1]

    def hide(self, span: Span) -> None:
        """These can be found no more, and have yet to go."""
        at = self.starts.index(span[0])
        self._num_passages -= self.ends[at] - self.starts[at]
        del self.starts[at], self.ends[at]
        self.unfinished.append(span)
