"""Bytes that somebody else wrote, read within bounds: kind of file, size, depth, range of numbers.

Whatever is wrong is an `Unreadable` with one line that says what is there and what would be right;
callers say which file or key it is about. Nothing here waits for a writer, follows a file without
end, or takes more memory than the bound allows.
"""

import json
import math
import os
import reprlib
import stat
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

MIB = 1 << 20
# Lists and objects inside one another. Files and requests that mean something have fewer than ten.
DEPTH_MAX = 64
# Integers are 64 bits wide wherever they go: arrays, frames, nanoseconds.
INTEGER_MAX = (1 << 63) - 1
DIGITS_MAX = 20
_BITS_MAX = 128  # of integers that an error shows
POWER_MAX = 400  # those of float64
LINE_BYTES_MAX = MIB

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Unreadable(ValueError):
    """What came from outside is not what it should be, or more than is read."""


def read_file(path: Path, most_bytes: int) -> bytes:
    """A regular file's bytes. Raises FileNotFoundError, and Unreadable for all that is no such
    file, or longer.
    """
    with open_file(path, most_bytes) as file:
        # A file may grow, and those of /proc say that they are empty.
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise _too_long(path, f"more than {most_bytes}", most_bytes)
    return data


def read_text(path: Path, most_bytes: int, encoding: str = "utf-8") -> str:
    """The same as text."""
    try:
        return read_file(path, most_bytes).decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: is not UTF-8 text at byte {error.start}") from error


def text_lines(path: Path, most_bytes: int, encoding: str = "utf-8") -> Iterator[str]:
    """A file's lines, with their ends. Raises as `read_text` does, when it comes to it."""
    with open_file(path, most_bytes) as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), 1):
            if len(line) > LINE_BYTES_MAX:
                raise Unreadable(f"{path}:{number}: is longer than {LINE_BYTES_MAX} bytes")
            try:
                yield line.decode(encoding if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                where = f"{path}:{number}"
                raise Unreadable(f"{where}: is not UTF-8 text at byte {error.start}") from error


def open_file(path: Path, most_bytes: int) -> BinaryIO:
    """A regular file; a pipe without a writer is refused, not waited for. Raises as `read_file`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unreadable(f"{str(path)!r}: cannot be read: {reason}") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= most_bytes:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise _too_long(path, str(status.st_size), most_bytes)
    found = next((name for fits, name in _KINDS if fits(status.st_mode)), "something else")
    raise Unreadable(f"{path}: is {found}: it must be a regular file")


def _too_long(path: Path, found: str, most_bytes: int) -> Unreadable:
    return Unreadable(f"{path}: has {found} bytes: at most {most_bytes} are read")


def load_json(text: str | bytes, *, infinite: bool = False) -> Any:
    """A JSON value of at most DEPTH_MAX levels, without repeated keys, NaN or infinity; integers
    have at most DIGITS_MAX digits. Raises Unreadable.

    infinite   read `Infinity`, as Python writes it and some published files have it
    """
    hooks = {**_HOOKS, "parse_constant": _constant} if infinite else _HOOKS
    try:
        value = json.loads(text, **hooks)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 text at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON: {error}") from error
    _check([value])
    return value


def next_json(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at `start`, by the same rules, and where it ends. Raises
    json.JSONDecodeError where the text ends too early or is no JSON, Unreadable for the rest.
    """
    try:
        value, end = json.JSONDecoder(**_HOOKS).raw_decode(text, start)
    except RecursionError:
        raise _too_deep() from None
    _check([value])
    return value, end


def _check(level: list[Any]) -> None:
    """Level by level: no recursion meets what is nested too deep."""
    for _ in range(DEPTH_MAX + 1):
        below: list[Any] = []
        containers = False
        for item in level:
            if isinstance(item, list):
                containers = True
                below.extend(item)
            elif isinstance(item, dict):
                containers = True
                below.extend(item.values())
            elif isinstance(item, _Refused):
                raise Unreadable(f"holds {item.what}: {item.right}")
        if not containers:
            return
        level = below
    raise _too_deep()


def exact(number: str) -> Fraction:
    """A decimal number's text. A power of ten is written out, so it must be a small one."""
    mantissa, _, exponent = number.replace("_", "").lower().partition("e")
    digits, power = len(mantissa), int(exponent[:5] or 0)
    if digits > 2 * DIGITS_MAX or len(exponent) > 5 or abs(power) > POWER_MAX:
        raise Unreadable(
            f"{shown(number)} is out of range: write at most {2 * DIGITS_MAX} digits, and powers "
            f"of ten from -{POWER_MAX} to {POWER_MAX}"
        )
    return Fraction(f"{mantissa}e{exponent or 0}")


def shown(value: object) -> str:
    """A value for an error message: short, and of whatever depth or length."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > INTEGER_MAX:
        if value.bit_length() > _BITS_MAX:
            return f"an integer of {value.bit_length()} bits"
        return f"{value}, an integer of {value.bit_length()} bits"
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    """Two levels, four entries; integers that Python will not print are told by their size."""

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if abs(x) <= INTEGER_MAX else f"<{x.bit_length()} bits>"


_SHORT = _Short()
_SHORT.maxlevel = 2
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 4
_SHORT.maxstring = _SHORT.maxother = 60


def _too_deep() -> Unreadable:
    return Unreadable(f"is nested too deep: at most {DEPTH_MAX} levels are read")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise Unreadable(f"names {shown(twice)} twice in one object: one of them must go")
    for key, value in pairs:
        if isinstance(value, _Refused):
            raise Unreadable(f"{shown(key)} is {value.what}: {value.right}")
    return found


class _Refused(float):
    """A number that is not read, until it is known under which key it stands."""

    def __new__(cls, text: str) -> "_Refused":
        self = super().__new__(cls, "nan")
        self.what, self.right = text[:80], "numbers must be finite"
        return self

    what: str
    right: str


def _constant(text: str) -> float:
    """Infinity of either sign; NaN is refused."""
    return _Refused(text) if text == "NaN" else float(text)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _Refused(text)


def _integer(text: str) -> float:
    if len(text) <= DIGITS_MAX:
        return int(text)
    begun = f"{text[:DIGITS_MAX]}..., " if len(text) > 2 * DIGITS_MAX else f"{text}, "
    refused = _Refused(f"{begun}an integer of {len(text)} digits")
    refused.right = f"at most {DIGITS_MAX} are read"
    return refused


_HOOKS: dict[str, Any] = {
    "object_pairs_hook": _unique,
    "parse_constant": _Refused,
    "parse_float": _finite,
    "parse_int": _integer,
}
