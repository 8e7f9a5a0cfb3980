"""Law 4: when idle, nothing is held and nothing is on its way.

Seen from outside: nobody sends anything any more, each call that was sent was answered or given up,
and each chip takes a request that needs every one of its blocks (those are law 3's, as all that is
asked after healing). What workers themselves say that they hold comes only on top.
"""

from collections.abc import Iterator, Mapping, Sequence

LAW = "clean"


def broken(sent: Mapping[str, int], held: Mapping[str, int], torn: Sequence[str]) -> Iterator[str]:
    """sent   kind -> messages while nothing was asked       held   what workers say that they hold
    torn   what their own books contradict
    """
    for kind, count in sent.items():
        yield f"{LAW}: {count} messages {kind} were sent while nobody asked for anything"
    for what, count in held.items():
        if count:
            yield f"{LAW}: {what} is {count} when idle"
    for problem in torn:
        yield f"{LAW}: {problem}"
