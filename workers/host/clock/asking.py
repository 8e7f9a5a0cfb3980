"""One machine asks another what its clock shows, by datagrams.

    question    16 bytes of chance                   MAC
    answer      the same 16 bytes, nanoseconds       MAC

MACs are HMAC-SHA-256 under the cluster's secret, cut to 16 bytes: nobody else is answered, and no
answer of anybody else's, or to another question, is believed.
"""

import hashlib
import hmac
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.host.clock.line import Sample

NONCE_BYTES = MAC_BYTES = 16
_TIME = struct.Struct("<q")
QUESTION_BYTES = NONCE_BYTES + MAC_BYTES
ANSWER_BYTES = NONCE_BYTES + _TIME.size + MAC_BYTES
# One question waits so long for its answer; one that takes longer would say nothing of use.
ANSWER_S = 0.25


def _mac(key: bytes, what: bytes, said: bytes) -> bytes:
    return hmac.digest(key, what + said, hashlib.sha256)[:MAC_BYTES]


class TimeServer:
    """Tells whoever knows `key` what a clock shows, from a thread of its own, until `close`.

    Raises OSError where it cannot listen.
    """

    def __init__(self, host: str, key: bytes, read: Callable[[], int]) -> None:
        self._key, self._read, self._is_closed = key, read, False
        self._socket = socket.socket(_family(host), socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, 0))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="time server", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            said, whence = self._socket.recvfrom(QUESTION_BYTES + 1)
            own_ns = self._read()
            if self._is_closed:
                return
            nonce, mac = said[:NONCE_BYTES], said[NONCE_BYTES:]
            if len(said) != QUESTION_BYTES or not hmac.compare_digest(
                mac, _mac(self._key, b"question", nonce)
            ):
                continue
            answer = nonce + _TIME.pack(own_ns)
            try:
                self._socket.sendto(answer + _mac(self._key, b"answer", answer), whence)
            except OSError:  # the way back is gone: whoever asked asks again
                continue

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._is_closed = True
        if self._thread.is_alive():
            host, port = self._socket.getsockname()[:2]
            with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", (host, port))
            self._thread.join(ANSWER_S)  # it is a daemon: what woke it may have been lost
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Asker:
    """Where a time server listens, and the cluster's secret."""

    host: str
    port: int
    key: bytes = field(repr=False)

    def ask(self, number: int, read: Callable[[], int]) -> list[Sample]:
        """So many questions, one after the other, with our own clock; those that were answered.

        Raises OSError where nothing can be sent there.
        """
        samples: list[Sample] = []
        with socket.socket(_family(self.host), socket.SOCK_DGRAM) as asking:
            asking.connect((self.host, self.port))
            for _ in range(number):
                nonce = secrets.token_bytes(NONCE_BYTES)
                question = nonce + _mac(self.key, b"question", nonce)
                sent_ns = read()
                asking.send(question)
                samples += self._answer(asking, nonce, sent_ns, read)
        return samples

    def _answer(
        self, asking: socket.socket, nonce: bytes, sent_ns: int, read: Callable[[], int]
    ) -> list[Sample]:
        """To this question, or none: what comes late, to an earlier one, takes no other's place."""
        while (left_s := ANSWER_S - (read() - sent_ns) / 1e9) > 0:
            asking.settimeout(left_s)
            try:
                answer = asking.recv(ANSWER_BYTES + 1)
            except TimeoutError:
                break
            sample = self._sample(nonce, answer, sent_ns, read())
            if sample is not None:
                return [sample]
        return []

    def _sample(self, nonce: bytes, answer: bytes, sent_ns: int, back_ns: int) -> Sample | None:
        told, mac = answer[:-MAC_BYTES], answer[-MAC_BYTES:]
        if len(answer) != ANSWER_BYTES or not told.startswith(nonce):
            return None
        if not hmac.compare_digest(mac, _mac(self.key, b"answer", told)):
            return None
        (other_ns,) = _TIME.unpack(told[NONCE_BYTES:])
        middle_ns = (sent_ns + back_ns) // 2
        return Sample(middle_ns, other_ns - middle_ns, (back_ns - sent_ns + 1) // 2)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
