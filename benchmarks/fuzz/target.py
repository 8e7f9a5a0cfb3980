"""One reader of bytes from outside, as the fuzzer sees it."""

import atexit
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

# Of one input, 4 KB at most: what takes longer would hold its process, or a thread of it, so long
# for whoever sends it. CPU seconds: another process on the machine is no finding.
CPU_S_MAX = 5.0


class TooSlow(Exception):
    """An input took more CPU time than any of its size may."""


@dataclass(frozen=True)
class Target:
    """read       takes bytes, and returns, or raises one of `refusals`; anything else is a finding
    refusals   the errors that the reader's own documentation names
    seeds      inputs that it accepts, or nearly, made by what writes such bytes
    words      what a mutation may put in: names, keys, signs
    """

    about: str
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[str | bytes] = ()

    def accepts(self, data: bytes) -> bool:
        """Whether it was read; False where it was refused. Raises whatever else came of it."""
        begun_s = time.process_time()
        try:
            self.read(data)
            is_read = True
        except self.refusals as error:
            str(error)  # what is shown to people must be there
            is_read = False
        took_s = time.process_time() - begun_s
        if took_s > CPU_S_MAX:
            raise TooSlow(f"{len(data)} bytes took {took_s:.1f} CPU seconds")
        return is_read


@cache
def one_file(name: str) -> Callable[[bytes], Path]:
    """A function that writes what it is given into a file, the same one each time, in a folder of
    its own that goes with the process.
    """
    folder = TemporaryDirectory(prefix="fuzz-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / name

    def written(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    return written


def chosen(data: bytes, count: int) -> tuple[int, bytes]:
    """Which of so many readers the first byte names, and what is left for it."""
    return (data[0] % count if data else 0), data[1:]


def pieces(data: bytes) -> list[bytes]:
    """Pieces of which each begins with its length, of two bytes: for what is sealed one by one."""
    found, at = [], 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "little")
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def joined(parts: Sequence[bytes]) -> bytes:
    """The reverse of `pieces`."""
    return b"".join(len(part).to_bytes(2, "little") + part for part in parts)
