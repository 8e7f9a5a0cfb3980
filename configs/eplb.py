"""DeepSeek's Expert Parallelism Load Balancer (github.com/deepseek-ai/EPLB), for one placement that
all layers share.

    replicate   the expert with the most tokens a copy has another copy, until all slots are taken
    pack        the heaviest copy goes to the shard with the least load that has room, and so on
    balance     with several nodes and as many groups of experts or a multiple: groups are packed to
                nodes, replicated within each, and packed to its shards (hierarchical); else all at
                once (global)

Beyond the original: a shard never has two copies of one expert, for that would balance nothing, and
slots need not divide by shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


def replicate(loads: Sequence[float], num_slots: int, most: int) -> list[int]:
    """Copies of each expert, `num_slots` in all.

    most   of any one
    """
    copies = [1] * len(loads)
    for _ in range(num_slots - len(loads)):
        able = [e for e in range(len(loads)) if copies[e] < most]
        copies[max(able, key=lambda e: loads[e] / copies[e])] += 1
    return copies


@dataclass(slots=True)
class _Pack:
    room: int
    load: float = 0.0
    items: dict[int, float] = field(default_factory=dict)  # item -> its load

    def put(self, item: int, load: float) -> None:
        self.items[item] = load
        self.load += load

    def take(self, item: int) -> float:
        load = self.items.pop(item)
        self.load -= load
        return load

    @property
    def is_full(self) -> bool:
        return len(self.items) == self.room


def pack(items: Sequence[tuple[int, float]], rooms: Sequence[int]) -> list[list[int]]:
    """Items of each pack: (item, load) may come several times, each in another pack; together they
    fill all rooms.
    """
    packs = [_Pack(room) for room in rooms]
    for item, load in sorted(items, key=lambda one: -one[1]):
        free = [p for p in packs if not p.is_full and item not in p.items]
        target = min(free, key=lambda p: p.load) if free else _made_room(packs, item)
        target.put(item, load)
    return [list(p.items) for p in packs]


def _made_room(packs: Sequence[_Pack], item: int) -> _Pack:
    """Whoever has room has the item already: a full pack without it gives them something else, the
    lightest thing there is.
    """
    _, giver, other, free = min(
        (
            (load, giver, other, free)
            for free in packs
            if not free.is_full
            for giver in packs
            if item not in giver.items
            for other, load in giver.items.items()
            if other not in free.items
        ),
        key=lambda move: move[0],
    )
    free.put(other, giver.take(other))
    return giver


def balance(
    loads: Sequence[float], num_slots: int, num_shards: int, num_groups: int = 1, num_nodes: int = 1
) -> list[list[int]]:
    """Experts of each shard.

    num_groups   equal runs of experts that are chosen together
    num_nodes    equal runs of shards; slots divide by them

    With groups that are no multiple of nodes, both count as one, as in the original.
    """
    if num_groups % num_nodes:
        num_groups = num_nodes = 1
    size, shards = len(loads) // num_groups, num_shards // num_nodes
    of_groups = [sum(loads[g * size : (g + 1) * size]) for g in range(num_groups)]
    groups_of_nodes = pack(list(enumerate(of_groups)), [num_groups // num_nodes] * num_nodes)
    placed: list[list[int]] = []
    for groups in groups_of_nodes:
        experts = [g * size + i for g in groups for i in range(size)]
        copies = replicate([loads[e] for e in experts], num_slots // num_nodes, shards)
        items = [
            (expert, loads[expert] / count)
            for expert, count in zip(experts, copies, strict=True)
            for _ in range(count)
        ]
        share, rest = divmod(len(items), shards)
        placed += pack(items, [share + (i < rest) for i in range(shards)])
    return placed


# Rounds of `shares_of`: each moves what is uneven by a good part; far below a token by then.
_ROUNDS = 100


def shares_of(loads: Sequence[float], placed: Sequence[Sequence[int]]) -> list[dict[int, float]]:
    """What each shard is to have of each of its experts, so that shards are as even as they can be.

    Beyond the original, whose copies have equal parts. Expert by expert, what others leave is
    filled up to one level, as water fills a vessel, round after round: that lowers the sum of the
    squares of the shards' loads each time, and where it is least the largest load is, too
    (Fujishige, Mathematics of Operations Research 5, 1980).
    """
    holders: dict[int, list[int]] = {}
    for shard, experts in enumerate(placed):
        for expert in experts:
            holders.setdefault(expert, []).append(shard)
    shares = [{e: loads[e] / len(holders[e]) for e in experts} for experts in placed]
    levels = [sum(share.values()) for share in shares]
    several = [expert for expert, shards in holders.items() if len(shards) > 1 and loads[expert]]
    for _ in range(_ROUNDS):
        for expert in several:
            others = {shard: levels[shard] - shares[shard][expert] for shard in holders[expert]}
            level = _level(sorted(others.values()), loads[expert])
            for shard, below in others.items():
                shares[shard][expert] = max(0.0, level - below)
                levels[shard] = below + shares[shard][expert]
    return shares


def _level(floors: Sequence[float], amount: float) -> float:
    """Up to which an amount fills what has these floors, in ascending order."""
    level = floors[0]
    for count in range(1, len(floors) + 1):
        level = (sum(floors[:count]) + amount) / count
        if count == len(floors) or level <= floors[count]:
            break
    return level


def imbalance(loads: Sequence[float]) -> float:
    """Largest over mean; 1 where all are even, and where there is none at all."""
    total = sum(loads)
    return max(loads) * len(loads) / total if total else 1.0
