"""Events a second through exchange, endpoint, links and hashed trace, beside an earlier commit.

    python -m benchmarks.events [--json FILE] [--earlier FOLDER] [--profile]

What runs is said in `load.py`. Both trees are measured by the same driver, each run in a fresh
process on the same core, in turn. Seconds are the core's (CPU time): one thread, which never waits.

Expectation, written before the first run, a message at commit 086191e (a call of ours costs about
1 us, a numpy call on rows this small as much):

    exchange   nine numpy calls a dispatch, the merge a combine                              5 us
    endpoint   message and its copy at hand-over, a read-only view an array, stamps,
               credit, pending call, memory of answers                                      15 us
    links      two resources                                                                 2 us
    timers     first byte, last byte, and one for patience that never fires                  5 us
    loop       a future a call, a turn of the event loop an instant                          5 us
    trace      a record, its text, its hash                                                  3 us

35 us in all, or 28,000 events a second. What a message cannot do without is its rows, two
resources, two places in one heap and a hash: about 10 us in Python.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.beside.pairs import Pairs, Result, in_turn, missing_row, run_child, shown_row
from benchmarks.beside.tree import COMMIT, ROOT, NoEarlierTree, add_option, earlier_tree
from benchmarks.events import load
from benchmarks.rows import Row, arguments, report

ROUNDS = 5
LAYERS = 48  # 98,304 events: some seconds a run
RATIO_BAR = 4.0
RATE_BAR = 60_000

NAME = f"events, {load.NUM_CHIPS} chips, {load.NUM_SHARDS} shards"
FAIR_HOW = "the default: a link's messages at once, which the earlier commit has not"
HOW = f"{load.TOKENS_PER_ENVELOPE} tokens an envelope, no arithmetic, one core"


def run(tree: Path, adapter: str, layers: int, profile: bool = False) -> Result:
    given = {"adapter": adapter, "layers": layers, "profile": profile}
    return run_child(tree, "benchmarks.events.load", given)


def rates(results: Sequence[Result]) -> list[float]:
    """Events a second. Raises RuntimeError if the runs of one tree were not the same."""
    hashes = {result["trace"] for result in results}
    if len(hashes) != 1:
        raise RuntimeError(f"runs of one tree differ: {', '.join(sorted(hashes))}")
    return [result["events"] / result["cpu_s"] for result in results]


def ratio_row(pairs: Pairs, rate: float) -> Row:
    return Row(
        f"{NAME}: this tree beside {COMMIT}",
        pairs.ratio,
        "x",
        f">= {RATIO_BAR:g}x or >= {RATE_BAR:,}/s",
        pairs.ratio >= RATIO_BAR or rate >= RATE_BAR,
        f"measured: {rate:,.0f}/s here; of the medians; {pairs.spread()}",
    )


def measure(checkout: Path | None, rounds: int, layers: int) -> list[Row]:
    try:
        with earlier_tree(checkout, native=False) as earlier:
            sides = {"this_tree": ROOT, f"commit_{COMMIT}": earlier, "this_tree_fair": ROOT}
            results = in_turn(lambda side: run(sides[side], side, layers), tuple(sides), rounds)
    except NoEarlierTree as error:
        alone = rates([run(ROOT, "this_tree", layers) for _ in range(rounds)])
        return [shown_row(NAME, alone, "events/s", HOW), missing_row(NAME, str(error))]
    pairs = Pairs(rates(results[0]), rates(results[1]))
    this = shown_row(NAME, pairs.this, "events/s", HOW)
    return [
        this,
        shown_row(f"{NAME}, {COMMIT}", pairs.earlier, "events/s", HOW),
        ratio_row(pairs, float(this.value)),
        shown_row(f"{NAME}, links shared fairly", rates(results[2]), "events/s", FAIR_HOW),
    ]


def main() -> int:
    parser = arguments("Events a second of the message path, beside an earlier commit.")
    add_option(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved pairs")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of a step on every chip")
    parser.add_argument(
        "--profile", action="store_true", help="only show where this tree's time goes"
    )
    options = parser.parse_args()
    if options.profile:
        print(run(ROOT, "this_tree", options.layers, profile=True)["profile"])
        return 0
    rows = measure(options.earlier, options.rounds, options.layers)
    return report(rows, options.json, "Events")


if __name__ == "__main__":
    sys.exit(main())
