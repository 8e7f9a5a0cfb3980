"""Plant faults at random and see whether the tests notice: `make mutants`."""

import argparse
import queue
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from benchmarks.mutants.draw import drawn
from benchmarks.mutants.equivalent import Equivalents
from benchmarks.mutants.folders import FOLDERS, ROOT
from benchmarks.mutants.noticing import Seen, measured
from benchmarks.mutants.sites import Change, Mutant
from benchmarks.mutants.trial import Verdict, check_copy, copy_of_tree, tried
from benchmarks.rows import Row, arguments, report, wide_console

SHARE_FOUND = 0.9
Planted = tuple[Mutant, Change]


@dataclass(frozen=True)
class Result:
    mutant: Mutant
    change: Change
    verdict: Verdict

    @property
    def name(self) -> str:
        where = f"{self.mutant.path}:{self.mutant.line} {self.change.function}"
        return f"{where}: {self.change.was!r} -> {self.change.becomes!r}"


def results(sample: Sequence[Planted], seen: Seen, jobs: int) -> Iterator[Result]:
    """As they come: `jobs` mutants at a time, each in a copy of the tree.

    Raises BrokenCopy if the first one's tests fail without it.
    """
    with ExitStack() as stack:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(jobs):
            tree = stack.enter_context(copy_of_tree())
            if not number:
                check_copy(tree, seen.tests_of(sample[0][0].path, sample[0][1].lines))
            trees.put(tree)

        def run(mutant: Mutant, change: Change) -> Result:
            tree = trees.get()
            try:
                tests = seen.tests_of(mutant.path, change.lines)
                return Result(mutant, change, tried(tree, mutant.path, change.text, tests))
            finally:
                trees.put(tree)

        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        waiting = [pool.submit(run, *planted) for planted in sample]
        stack.callback(pool.shutdown, cancel_futures=True)
        for done in as_completed(waiting):
            yield done.result()


def rows(found: Sequence[Result], seed: int, passed_over: int) -> list[Row]:
    """The share that was found, then each that was not."""
    unnoticed = [result for result in found if not result.verdict.found_by]
    share = 1 - len(unnoticed) / len(found)
    evidence = f"measured: {len(found)} drawn with seed {seed}, {passed_over} equivalent ones aside"
    name = f"mutants found, of {', '.join(FOLDERS)}"
    result = [Row(name, share, "", f">= {SHARE_FOUND}", share >= SHARE_FOUND, evidence)]
    for each in unnoticed:
        asked = f"measured: {each.verdict.num_tests} tests run its line"
        bar = "a test, or a reason in equivalent.yaml"
        result.append(Row(each.name, "unnoticed", "", bar, False, asked))
    return result


def _arguments() -> argparse.Namespace:
    parser = arguments("Would the tests notice? Faults planted one at a time, at random.")
    parser.add_argument("--seed", type=int, help="of the sample; a new one if not given")
    parser.add_argument("--count", type=int, default=200, help="mutants to try")
    parser.add_argument("--jobs", type=int, default=2, help="at a time")
    parser.add_argument("--only", default="", metavar="PATH", help="files whose path begins so")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / "out" / "mutants",
        help="folder of the map from lines to tests; it is measured once a tree",
    )  # fmt: skip
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
    return options


def _sample(options: argparse.Namespace) -> tuple[list[Planted], int]:
    """The mutants to try, and how many equivalent ones were passed over for them."""
    equivalents = Equivalents()
    passed_over = 0

    def wanted() -> Iterator[Planted]:
        nonlocal passed_over
        for mutant, change in drawn(ROOT, options.seed, options.only):
            if equivalents.explain(mutant, change):
                passed_over += 1
            else:
                yield mutant, change

    return list(islice(wanted(), options.count)), passed_over


def _tell(console: Console, result: Result, number: int, count: int) -> None:
    by = result.verdict.found_by
    word = f"found by {by.split(' - ')[0]}" if by else "UNNOTICED"
    console.print(f"{number}/{count} {result.name}\n    {word}", markup=False, highlight=False)


def main() -> int:
    options = _arguments()
    console = wide_console()
    console.print(f"seed {options.seed}: --seed {options.seed} draws the same mutants again")
    sample, passed_over = _sample(options)
    if not sample:
        console.print(f"no file of {', '.join(FOLDERS)} begins with --only {options.only!r}")
        return 1
    seen = Seen(measured(options.cache))
    if seen.failed:
        console.print(f"left out, since they fail without a fault: {', '.join(seen.failed)}")
    found: list[Result] = []
    for result in results(sample, seen, options.jobs):
        found.append(result)
        _tell(console, result, len(found), len(sample))
    return report(rows(found, options.seed, passed_over), options.json, "mutants", console)


if __name__ == "__main__":
    sys.exit(main())
