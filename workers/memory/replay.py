"""A shard out of the records of its log."""

import struct

from workers.errors import CorruptMessage
from workers.memory import shard_records as records
from workers.memory.index.quantizer import Quantizer
from workers.memory.shard import RetrievalShard
from workers.memory.shard_records import Record, RecordKind


class Replay:
    """A log's records, one after the other. What is left of it is `shard`; `is_sealed` says whether
    it stands in for the log before it.
    """

    def __init__(self) -> None:
        self.shard: RetrievalShard | None = None
        self.is_sealed = False
        self.num_gone = 0
        self.number = 0

    def take(self, number: int, record: Record) -> None:
        """Raises CorruptMessage for what no shard says: a checksum tells that bytes are as they
        were written, not by whom.
        """
        try:
            self._take(record)
        except (ArithmeticError, LookupError, struct.error, TypeError, ValueError) as error:
            text = f"record {number} is not as it should be: {error!r:.200}"
            raise CorruptMessage(text) from error
        if record.kind is not RecordKind.MERGED:
            self.number = number + 1

    def _take(self, record: Record) -> None:
        if record.kind is RecordKind.DELETED:
            self.shard, self.is_sealed = None, True
        elif record.kind is RecordKind.OPEN:
            if self.number:
                raise ValueError("a log opens once")
            self.shard = RetrievalShard(*records.parse_opened(record.payload))
        elif self.shard is None:
            raise ValueError("the log is not open")
        elif record.kind is RecordKind.MERGED:
            self.number = records.parse_merged(record.payload)
        elif record.kind is RecordKind.SEALED:
            self.is_sealed = True
        elif record.kind is RecordKind.GONE:
            self.num_gone += self.shard.take_back(records.parse_gone(record.payload))
        elif record.kind is RecordKind.TRAINED:
            self.shard.use(Quantizer.unpack(record.payload, self.shard.dim))
        else:
            self.shard.add(*records.parse_added(record.payload, self.shard.dim))
