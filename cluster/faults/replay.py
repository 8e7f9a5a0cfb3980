"""Recorded delays: a file of text, one duration a line with its unit, in the order of sending."""

from functools import cache
from pathlib import Path

from configs.outside import MIB, text_lines
from configs.schema.delays import DELAYS_MAX
from configs.units import DURATION

BYTES_MAX = 32 * MIB


@cache
def read_delays(path: str) -> tuple[int, ...]:
    """In nanoseconds. Empty lines, and what follows a #, mean nothing. Raises OSError, and
    ValueError naming the line.
    """
    delays: list[int] = []
    for number, line in enumerate(text_lines(Path(path).expanduser(), BYTES_MAX), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            delays.append(int(DURATION.parse(text)))
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        if len(delays) > DELAYS_MAX:
            raise ValueError(f"{path}: has more than {DELAYS_MAX} delays: cut it to so many")
    if not delays:
        raise ValueError(f'{path}: holds no delay: write one a line, for example "120 us"')
    return tuple(delays)
