"""`perfuse run demo` in the virtual world, run proper, beside an earlier commit.

    python -m benchmarks.demo [--json FILE] [--earlier FOLDER] [--profile]

From the first request to the last answer, in fresh processes, in turn; the start of the cluster is
left out. Tokens must be the same. Seconds are those of one core (CPU time): the run never waits,
and on the wall whatever else the machine does would count as well. First touches of the KV cache
cost 0.02 or 0.2 s, as the machine happens to have huge pages free or not, in either tree: hence so
many rounds.

Expectation, written before the run path was touched: of 1.6 s at commit 086191e, 0.5 to 0.7 s are
native kernels, retrieval and tokenizer, which stay. 9,000 messages of 44 us are 0.4 s; the rest are
5,000 declared runs, 34,000 turns of the event loop and the router. A message at a quarter of its
cost and a loop that turns only where a task is woken leave 1.2 s: 1.3 times as fast.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.beside.pairs import Pairs, Result, in_turn, missing_row, run_child, shown_row
from benchmarks.beside.tree import COMMIT, ROOT, NoEarlierTree, add_option, earlier_tree
from benchmarks.rows import Row, arguments, report

ROUNDS = 9
RATIO_BAR = 1.25
NAME = "perfuse run demo, run proper"
HOW = "virtual world, CPU seconds of one core"


def run(tree: Path, adapter: str, profile: bool = False) -> Result:
    return run_child(tree, "benchmarks.demo.load", {"adapter": adapter, "profile": profile})


def seconds(results: Sequence[Result]) -> list[float]:
    return [result["cpu_s"] for result in results]


def rows_of(this: Sequence[Result], earlier: Sequence[Result]) -> list[Row]:
    # More is better in a pair: runs a second.
    pairs = Pairs([1 / s for s in seconds(this)], [1 / s for s in seconds(earlier)])
    answers = [result["tokens"] for result in (*this, *earlier)]
    differing = sum(
        any(other != first for other in others) for first, *others in zip(*answers, strict=True)
    )
    return [
        shown_row(NAME, seconds(this), "s", HOW),
        shown_row(f"{NAME}, {COMMIT}", seconds(earlier), "s", HOW),
        Row(
            f"{NAME}: this tree beside {COMMIT}",
            pairs.ratio,
            "x",
            f">= {RATIO_BAR}x",
            pairs.ratio >= RATIO_BAR,
            f"measured: of the medians; {pairs.spread()}",
        ),
        Row(
            "answers whose tokens differ between runs of either tree",
            differing,
            "",
            f"0 of {len(answers[0])}",
            not differing,
            "measured: token by token",
        ),
    ]


def measure(checkout: Path | None, rounds: int) -> list[Row]:
    try:
        with earlier_tree(checkout, native=True) as earlier:
            sides = {"this_tree": ROOT, f"commit_{COMMIT}": earlier}
            return rows_of(*in_turn(lambda side: run(sides[side], side), tuple(sides), rounds))
    except NoEarlierTree as error:
        alone = [run(ROOT, "this_tree") for _ in range(rounds)]
        return [shown_row(NAME, seconds(alone), "s", HOW), missing_row(NAME, str(error))]


def main() -> int:
    parser = arguments("The demo's run proper, beside an earlier commit.")
    add_option(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved pairs")
    parser.add_argument(
        "--profile", action="store_true", help="only show where this tree's time goes"
    )
    options = parser.parse_args()
    if options.profile:
        print(run(ROOT, "this_tree", profile=True)["profile"])
        return 0
    return report(measure(options.earlier, options.rounds), options.json, "The demo's run")


if __name__ == "__main__":
    sys.exit(main())
