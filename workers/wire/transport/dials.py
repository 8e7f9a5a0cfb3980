"""Which dial of a peer comes late. One may be heard when its stream, or its whole incarnation, has
long ended: it must not take the place of a later one.
"""

import secrets
import struct
from collections import deque

_DIAL = struct.Struct("<8sQ")
DIAL_BYTES = _DIAL.size
# Incarnations of a peer that others have taken the place of.
GONE_MAX = 16


class Dials:
    """Of one node: its own, which it numbers, and those of its peers, as it has heard of them.

    What is told of a dial are DIAL_BYTES: which incarnation of its node dials, and how many times
    that has dialled. An answer tells them as well: what was dialled before it is late after it.
    """

    def __init__(self) -> None:
        self._incarnation, self._number = secrets.token_bytes(8), 0
        self._latest: dict[str, tuple[bytes, int]] = {}
        self._gone: dict[str, deque[bytes]] = {}

    def begin(self) -> None:
        """This node dials once more."""
        self._number += 1

    def told(self) -> bytes:
        """What this node says of itself now."""
        return _DIAL.pack(self._incarnation, self._number)

    def is_late(self, node: str, told: bytes) -> bool:
        """Whether a peer that says this has said something later already."""
        incarnation, number = _DIAL.unpack(told)
        latest, newest = self._latest.get(node, (b"", 0))
        if incarnation == latest:
            return bool(number <= newest)
        return incarnation in self._gone.get(node, ())

    def heard(self, node: str, told: bytes) -> None:
        """A peer has said this, in a dial that led to a link or in its answer to one. What is late
        changes nothing: an answer may be, of an incarnation that is gone.
        """
        if self.is_late(node, told):
            return
        incarnation, number = _DIAL.unpack(told)
        latest, _ = self._latest.get(node, (incarnation, 0))
        if latest != incarnation:
            self._gone.setdefault(node, deque(maxlen=GONE_MAX)).append(latest)
        self._latest[node] = incarnation, number
