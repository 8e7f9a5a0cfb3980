"""One peer over UCX: the way there, and what UCX still has to send of a packet."""

import asyncio
from typing import Any

from workers.wire.transport.door_link import DoorLink, OnLost
from workers.wire.transport.handshake import Introduction
from workers.wire.transport.ucx_library import tag_of
from workers.wire.transport.ucx_worker import UcxError, UcxWorker


class UcxLink(DoorLink):
    """tag   of what the peer sends to us: nobody else knows it, so what has it is its"""

    def __init__(self, node: str, address: str, outbox_bytes: int, worker: UcxWorker) -> None:
        super().__init__(node, address, outbox_bytes)
        self._worker = worker
        self._way: Any = None
        self._tag: Any = None

    def open(self, peer: Introduction, stream: asyncio.StreamWriter, on_lost: OnLost) -> None:
        """Begin to send. Raises UcxError if its worker cannot be reached."""
        self._way = self._worker.connect(peer.worker, lambda: on_lost("its connection broke"))
        self._tag = tag_of(peer.tag)
        self.opened(stream, on_lost)

    def _let_go(self) -> None:
        if self._way is not None:
            self._worker.disconnect(self._way)
            self._way = None

    def _write(self, packet: bytes) -> None:
        try:
            self._is_writing = not self._worker.send(self._way, self._tag, packet, self._sent)
        except UcxError as error:
            self._on_lost(str(error))

    def _sent(self, problem: str) -> None:
        if problem:
            self._is_writing = False
            self._on_lost(problem)
        else:
            self._written()
