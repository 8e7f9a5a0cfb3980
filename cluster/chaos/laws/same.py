"""Law 6: the same trial gives the same trace hash."""

from collections.abc import Iterator

LAW = "same"


def broken(first: str, again: str) -> Iterator[str]:
    """Trace hashes of two runs of one trial."""
    if first != again:
        yield f"{LAW}: its trace is {first}, and {again} when it is repeated"
