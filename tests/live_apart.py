"""Whoever has run live tests runs no others: Ray leaves some ten native threads in a process that
it was in, and such a process has died minutes after its last live test, in a test of something
else.
"""

from typing import Any

from xdist.scheduler import LoadGroupScheduling

LIVE = "live"


class LiveApart(LoadGroupScheduling):  # type: ignore[misc]
    """Groups go to processes as ever, but the one that has the live tests is given nothing more, if
    there are others.
    """

    def _reschedule(self, node: Any) -> None:
        if LIVE in self.assigned_work[node] and len(self.nodes) > 1:
            if not node.shutting_down:
                node.shutdown()  # when it has run what it has
            return
        super()._reschedule(node)
