"""Constraints are compiled before a request travels: what cannot be enforced is a 400 at once."""

from collections import OrderedDict

from cluster.gateway.generation import Generation
from workers.host.aside import Aside
from workers.model import grammar
from workers.model.shaping import CONSTRAINT_BYTES_MAX, Constraint

# A client sends the same few again and again. Some MB of text at most.
KNOWN_MAX = (4 << 20) // CONSTRAINT_BYTES_MAX


class Constraints:
    """Compiles beside an event loop, each constraint once as long as it is remembered."""

    def __init__(self, aside: Aside) -> None:
        self._aside = aside
        self._known: OrderedDict[Constraint, None] = OrderedDict()

    async def check(self, generation: Generation) -> None:
        """Raises InvalidRequest that names what cannot be enforced."""
        shaping = generation.requests[0].sampling.shaping  # all have the same
        constraint = None if shaping is None else shaping.constraint
        if constraint is None:
            return
        if constraint not in self._known:
            size = grammar.size(constraint)
            await self._aside.run(size, lambda: grammar.check(constraint))
        self._known[constraint] = None
        self._known.move_to_end(constraint)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
