"""A rank in a process of its own: `python -m tests.kernels.all_to_all.child JOB TASK`.

It writes its address as a line of JSON, reads all ranks' addresses, does its job and writes what
came of it. With `ucx` in the task (its transports) it is reached by that, and shows its address in
hexadecimal.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.all_to_all import AllToAll, Geometry, RankLost, Tokens, UcxAllToAll
from kernels.all_to_all.geometry import FORMATS
from kernels.all_to_all.rank import Rank
from tests.kernels.all_to_all.ranks import LONG_NS, SECRET, owners


def say(word: Any) -> None:
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


def stamped(sizes: Geometry, rank: int, count: int) -> np.ndarray:
    """Rows that say whose they are, and in their last channels which: exact in every format."""
    rows = np.full((count, sizes.hidden), rank + 1, np.float32)
    rows[:, -8:] = np.arange(count)[:, None]
    return rows


def rounds(member: Rank, task: dict[str, Any]) -> str:
    """Rounds in lock step with random experts; every row that comes is checked. The hash of all."""
    sizes, rng = member.geometry, np.random.default_rng(task["seed"] + member.rank)
    seen, everybody = hashlib.blake2b(digest_size=8), tuple(range(sizes.world))
    for turn in range(task["rounds"]):
        count = int(rng.integers(0, sizes.capacity + 1))
        shape = (count, sizes.experts_per_token)
        experts = rng.integers(-1, sizes.num_experts, shape).astype(np.int32)
        rows = stamped(sizes, member.rank, count)
        tokens = Tokens(
            np.arange(count, dtype=np.uint64), np.full(count, member.rank), experts,
            np.ones(shape, np.float32), rows,
        )  # fmt: skip
        handle = member.dispatch_send(tokens, owners(sizes), LONG_NS, turn, everyone=True)
        for arrived in member.dispatch_receive(LONG_NS, everybody):
            assert arrived.tag == turn
            assert (arrived.positions == arrived.source).all()
            came = stamped(sizes, arrived.source, sizes.capacity)[arrived.requests.astype(int)]
            assert np.array_equal(arrived.floats(), came), (turn, arrived)
            num_experts = (arrived.experts >= 0).sum(axis=1, keepdims=True)
            member.combine_send(arrived, (came * num_experts).astype(np.float32))
            seen.update(arrived.experts.tobytes())
        sums = member.combine_receive(handle, LONG_NS)
        assert np.array_equal(sums, rows * (experts >= 0).sum(axis=1, keepdims=True)), turn
        seen.update(sums.tobytes())
    return seen.hexdigest()


def chip(member: Rank, task: dict[str, Any]) -> list[int]:
    """Dispatches one token at a time to all experts, and counts what is whole and what is not."""
    sizes, counts = member.geometry, [0, 0]
    experts = np.arange(sizes.experts_per_token, dtype=np.int32)[None]
    for turn in range(task["rounds"]):
        tokens = Tokens(
            np.zeros(1, np.uint64), np.zeros(1, np.int64), experts, np.ones(experts.shape, "f4"),
            np.full((1, sizes.hidden), turn, np.float32),
        )  # fmt: skip
        handle = member.dispatch_send(tokens, np.array(task["owners"], np.int32), LONG_NS, turn)
        combined = member.combine_receive_partial(handle, LONG_NS)
        counts[bool(combined.missing)] += 1
        whole = turn * len({owner for owner in task["owners"] if owner >= 0})
        assert combined.missing or (combined.sums_TH == whole).all()
    return counts


def shard(member: Rank, task: dict[str, Any]) -> int:
    """Answers whoever asks with the row itself, until all chips are gone."""
    answered = 0
    while True:
        try:
            for arrived in member.dispatch_receive(LONG_NS, ()):
                answered += member.combine_send(arrived, arrived.floats())
        except TimeoutError:
            return answered
        if answered >= task["rounds"]:
            return answered


def waits(member: Rank, task: dict[str, Any]) -> str:
    """Waits for a dispatch of one rank, and says what ends it."""
    try:
        member.dispatch_receive(LONG_NS, (task["source"],))
    except RankLost as error:
        return f"{type(error).__name__}: {error}"
    except KeyboardInterrupt:
        return "interrupted"
    return "it came"


JOBS = {"rounds": rounds, "chip": chip, "shard": shard, "waits": waits}


def begin(task: dict[str, Any]) -> tuple[Rank, str, Callable[[str], int]]:
    """The rank, its address as it is shown, and what attaches another's."""
    *sizes, send, back = task["geometry"]
    formats: Any = {"send": FORMATS[send], "back": FORMATS[back]}
    geometry = Geometry(*sizes, **formats)
    if transports := task.get("ucx"):
        far = UcxAllToAll(geometry, task["rank"], SECRET, task["epoch"], transports=transports)
        return far, far.address.hex(), lambda shown: far.attach(bytes.fromhex(shown))
    near = AllToAll(geometry, task["rank"], SECRET, task["epoch"])
    return near, near.address, near.attach


def main() -> None:
    job, task = sys.argv[1], json.loads(sys.argv[2])
    member, own, attach = begin(task)
    say(own)
    while line := sys.stdin.readline():  # a list of addresses, as often as the parent likes
        for address in json.loads(line):
            if address != own:
                attach(address)
        say(JOBS[job](member, task))
    member.close()


if __name__ == "__main__":
    main()
