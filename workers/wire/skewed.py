"""Moments that nodes tell each other while their clocks disagree.

Whoever says "until 12:00:05" reads it from his clock, and whoever hears it asks his own how long
that is, and counts it down. Inside a node all is in emulated time; so what is told is turned where
it is heard, by what both clocks show then.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workers.host.clock.base import Clock
from workers.host.skew import Skew
from workers.wire.message import Message

# Of a content: until when somebody waits; when something was.
UNTIL, SINCE = ("deadline_ns", "until_ns"), ("prefilled_ns",)


def heard(
    clock: Clock, skews: Mapping[str, Skew], node: str, sender: str, message: Message[Any]
) -> Message[Any]:
    """A message as `node` takes it, which `sender` has sent."""
    if node == sender:
        return message
    now_ns = clock.now()
    said, own = skews.get(sender), skews.get(node)
    ahead_ns = 0 if said is None else said.ahead_ns(now_ns)
    behind_ns = 0 if own is None else own.ahead_ns(now_ns)
    by_ns, rate = ahead_ns - behind_ns, 1.0 if own is None else own.rate
    if not by_ns and rate == 1.0:
        return message

    def until(told_ns: int) -> int:
        """0 is no moment."""
        return max(1, now_ns + round((told_ns - now_ns + by_ns) / rate)) if told_ns else 0

    content = message.content
    changes: dict[str, Any] = {}
    for name in UNTIL:
        if hasattr(content, name):
            changes[name] = until(getattr(content, name))
    for name in SINCE:
        if hasattr(content, name):
            changes[name] = getattr(content, name) + by_ns
    gather = getattr(content, "gather", None)
    if gather is not None:
        changes["gather"] = replace(gather, until_ns=until(gather.until_ns))
    if changes:
        content = replace(content, **changes)
    return replace(message, content=content, deadline_ns=until(message.deadline_ns))
