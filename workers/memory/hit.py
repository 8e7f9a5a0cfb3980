"""What a search finds. Apart from the shard, so that a router merges hits without FAISS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that a query found.

    passage_id   unique within its collection, 0 or more
    score        inner product of query and passage, a float32 value; higher is better
    text         the passage                   file_id   the document that it came from
    """

    passage_id: int
    score: float
    text: str
    file_id: str = ""

    def rank(self) -> tuple[float, int]:
        """Sort key: best score first, equal scores by passage id; nothing is left to chance."""
        return (-self.score, self.passage_id)

    def to_body(self) -> dict[str, Any]:
        return {
            "passage_id": self.passage_id,
            "score": self.score,
            "text": self.text,
            "file_id": self.file_id,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Hit":
        return cls(int(body["passage_id"]), float(body["score"]), body["text"], body["file_id"])
