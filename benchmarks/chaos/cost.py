"""The part `cost`: what all of it costs where nothing breaks.

The demo's requests in the virtual world, with digests, so that no arithmetic hides what messages
cost: this tree beside the commit before heartbeats, identities of blocks, watches, pace and the
rest, in fresh processes, in turn. CPU seconds, since other processes slow a wall clock and hardly
these. The router's journal can be left out by a key, so it has a row of its own, in this tree.

Expected before the first run: identities and checksums existed in part before, so 1 to 4 %; the
journal writes a record an event, a tenth of what an event costs otherwise: 5 to 10 %, of which the
router's node alone has it and decode none.

What came out on two busy cores: +1.0 % by the medians, the journal +0.7 %; single pairs lay between
-12 % and +47 %, so a machine that is this busy cannot tell 1 % from 5 %.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

from benchmarks.beside.pairs import Result, in_turn, missing_row
from benchmarks.beside.tree import ROOT, NoEarlierTree, earlier_tree
from benchmarks.rows import Row

# The last one before faults of nodes, resent requests and detection came.
BEFORE = "0497117"
ROUNDS, COST_MAX = 5, 0.05
CHILD = Path(__file__).with_name("_cost_child.py")
TIMEOUT_S = 300
REQUESTS = 100
SCENARIO: dict[str, object] = {
    "model.numerics": "digest",
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "workload.arrivals.closed.num_requests": REQUESTS,
}


def _run(tree: Path, changes: Mapping[str, object]) -> Result:
    """CPU seconds and tokens of one run. Raises RuntimeError with the child's words."""
    command = (sys.executable, "-P", str(CHILD), json.dumps({**SCENARIO, **changes}))
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _cost(this: list[Result], other: list[Result], name: str, than: str, bar: float | None) -> Row:
    """How many more CPU seconds a token; of the medians."""
    here, there = ([float(one["cpu_s"]) / one["tokens"] for one in side] for side in (this, other))
    more = median(here) / median(there) - 1
    pairs = ", ".join(f"{a / b - 1:+.1%}" for a, b in zip(here, there, strict=True))
    evidence = (
        f"measured: CPU seconds, virtual world, {len(this)} runs each in turn ({pairs}), "
        f"{REQUESTS} requests, {this[0]['tokens']:,} tokens; beside {than}"
    )
    shown = "-" if bar is None else f"<= {bar:.0%}"
    return Row(name, f"{more:+.1%}", "", shown, bar is None or more <= bar, evidence)


def rows() -> Iterable[Row]:
    def with_journal(side: str) -> Result:
        return _run(ROOT, {"cluster.router_journal": side == "on"})

    try:
        with earlier_tree(None, native=False, commit=BEFORE) as earlier:

            def tree(side: str) -> Result:
                return _run(Path(side), {})

            this, before = in_turn(tree, (str(ROOT), str(earlier)), ROUNDS)
        yield _cost(this, before, "cost without faults", f"commit {BEFORE}", COST_MAX)
    except NoEarlierTree as error:
        yield missing_row("cost without faults", str(error))
    on, off = in_turn(with_journal, ("on", "off"), ROUNDS)
    yield _cost(on, off, "of that, the router's journal where it is on", "the same without", None)
