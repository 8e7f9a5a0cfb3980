"""Whether a request that lacked experts could have them from another chip: not where nobody has.

A chip says whose experts it lacked. It may be cut off from a shard that lives; but what all shards
and spares that had an expert took along is lost to every chip, and each attempt would cost a
prefill and end in the same way.
"""

from collections.abc import Callable, Mapping, Sequence

from cluster.router.machine.anew import EXPERTS_OF
from cluster.router.machine.events import Fault
from workers.experts.stand_ins import StandIns
from workers.wire.membership import Membership


def told_by(
    members: Membership,
    holders: Mapping[int, Sequence[str]],
    spares: Mapping[str, Sequence[str]],
) -> Callable[[Fault], Fault]:
    """What a chip says to have failed a sequence, as this node knows better: it names experts that
    were lacking only where nobody has some of them.

    holders   expert -> the shards that hold it     spares   shard -> those that stand by for it
    """
    stand_ins = StandIns(members, spares)

    def is_gone(shard: str) -> bool:
        kept = [shards for shards in holders.values() if shard in shards]
        return any(not any(map(stand_ins.answers, shards)) for shards in kept)

    def judged(fault: Fault) -> Fault:
        facts = fault.get("facts")
        if not isinstance(facts, Mapping) or EXPERTS_OF not in facts:
            return fault
        if is_gone(str(facts[EXPERTS_OF])):
            return fault
        others = {name: fact for name, fact in facts.items() if name != EXPERTS_OF}
        return {**fault, "facts": others}

    return judged
