"""Law 3: each request ends, answered or with a clear error, within its deadline; where
nothing but something mild is wrong, or all is healed, it is answered. That a peer is dead is a
clear error only where no other could serve, or it was tried as often as it may be. That can be told
from outside only while all links are as they should be: behind one that loses or holds back
anything a router may rightly take those who live for dead, and which ones it does is its secret.
That time is over is no error at all where nothing has been wrong for long: it hung.
"""

from collections.abc import Iterator, Sequence

from cluster.chaos.heard import Heard

LAW = "ends"
# Beyond its deadline nobody waits: a reader keeps it on its own clock.
SLACK_NS = 0
# Whose chips were lost as often as it may be says so; what a router cannot write it cannot promise.
USED_UP, UNWRITTEN = "(attempt ", "the router's journal cannot be written"
# Hundreds of times as long as any request of a trial takes, and longer than a call is waited for:
# only trials with much longer deadlines can wait so long.
HANGS_NS = 400_000_000
# What a fault may do to a request that is right in itself.
CLEAR = ("deadline_exceeded", "peer_dead", "corrupt_message", "queue_full")


def broken(heard: Sequence[Heard], now_ns: int) -> Iterator[str]:
    """now_ns   when it was looked"""
    for one in heard:
        if one.is_orphan or one.left:
            continue
        ended_ns = now_ns if one.ended_ns is None else one.ended_ns
        over_ns = ended_ns - one.deadline_ns - SLACK_NS
        if over_ns > 0:
            what = "has not ended" if one.ended_ns is None else "ended"
            yield f"{LAW}: {one.asked} {what} {over_ns} ns after its deadline"
        elif one.ended_ns is not None:
            yield from _how(one)


def _how(one: Heard) -> Iterator[str]:
    if not one.finish_reason and not one.code:
        yield f"{LAW}: {one.asked} ended with neither an answer nor an error"
    elif one.code and one.must_end_well:
        yield f"{LAW}: {one.asked} failed without need: {one.code}: {one.message}"
    elif one.code == "deadline_exceeded" and (one.ended_ns or 0) - one.whole_since_ns > HANGS_NS:
        yield f"{LAW}: {one.asked} hung: all was well from {one.whole_since_ns} ns on"
    elif one.code == "peer_dead" and one.could_go_on and USED_UP not in one.message:
        yield f"{LAW}: {one.asked} was given up, and others could serve it: {one.message}"
    elif one.is_unwritten and UNWRITTEN in one.message:
        return
    elif one.code and one.code not in CLEAR:
        yield f"{LAW}: {one.asked} ended with {one.code}: {one.message}"
