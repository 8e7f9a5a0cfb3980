"""How many values a request may hold, and how deep: small ones cost more than their bytes say."""

from collections.abc import Mapping, Sequence

import numpy as np

from workers.errors import InvalidRequest

# Each is copied some times on its way, on event loops: so many take 20 ms of one at a time.
VALUES_MAX = 1 << 16

# Of a whole body: those of its messages, those of its tools, and some more. To read so many takes
# 50 ms, in which nothing else of the process goes on. Numbers and texts in a list cost little.
PARTS_MAX = 150_000
_SIGNS = b"[{:"
_SLICE_BYTES = 1 << 18


def check_values(name: str, value: object) -> None:
    """Raises InvalidRequest where JSON has more values, keys among them, however deep they are."""
    left, num_values = [value], 0
    while left:
        inner = left.pop()
        if isinstance(inner, Mapping):
            num_values += 2 * len(inner)
            left += inner.values()
        elif isinstance(inner, list | tuple):
            num_values += len(inner)
            left += inner
        if num_values > VALUES_MAX:
            raise InvalidRequest(
                f"{name} has more than {VALUES_MAX} values, with those inside others: at most so "
                "many are read",
                param=name,
            )


def is_deeper(value: object, levels: int) -> bool:
    """Whether JSON has values inside more lists and objects than that."""
    layer: Sequence[object] = [value]
    for _ in range(levels):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not layer:
            return False
    return True


def check_parts(raw: bytes) -> None:
    """Raises InvalidRequest where JSON that has not been read yet has too many lists, objects and
    keys: reading it would hold the interpreter for as long as it takes.
    """
    if sum(map(raw.count, (b"[", b"{", b":"))) <= PARTS_MAX:
        return  # even if none of them stands in a text
    if _num_parts(raw) > PARTS_MAX:
        raise InvalidRequest(
            f"the request body has more than {PARTS_MAX} lists, objects and keys: at most so many "
            "are read"
        )


def _num_parts(raw: bytes) -> int:
    """Those outside texts, slice by slice, so that others have their turn between."""
    plain = raw.replace(rb"\\", b"").replace(rb"\"", b"")  # what is left of quotes begins or ends
    num_quotes = num_parts = 0
    for start in range(0, len(plain), _SLICE_BYTES):
        signs = np.frombuffer(plain[start : start + _SLICE_BYTES], np.uint8)
        quotes = np.cumsum(signs == ord('"'), dtype=np.int32)
        is_part = np.isin(signs, np.frombuffer(_SIGNS, np.uint8))
        num_parts += int(np.count_nonzero(is_part & ((quotes + num_quotes) % 2 == 0)))
        num_quotes += int(quotes[-1])
    return num_parts
