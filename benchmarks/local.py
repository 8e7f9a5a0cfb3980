"""The local world beside an earlier commit: `python -m benchmarks.local [--json FILE]`.

`benchmarks.throughput` of each tree (emulation off, eight streams), in turn, each a cluster of its
own. Its rates move by a tenth from run to run where the machine does other things as well; the
ratio is of the medians.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.beside.pairs import Pairs, Result, in_turn, missing_row, shown_row
from benchmarks.beside.tree import COMMIT, ROOT, NoEarlierTree, add_option, earlier_tree
from benchmarks.rows import Row, arguments, read_rows, report

ROUNDS = 5
RATIO_BAR = 0.97
TIMEOUT_S = 600
NAME = "local world, emulation off, 8 streams"
# In the order of its rows.
WAYS = ("through HTTP", "put in at the gateway's node")


def throughput(tree: Path) -> Result:
    """Tokens a second by way. Raises RuntimeError with the command's words if it gave no rows."""
    with tempfile.TemporaryDirectory(prefix="perfuse-local-") as folder:
        file = Path(folder) / "rows.json"
        done = subprocess.run(
            (sys.executable, "-m", "benchmarks.throughput", "--json", str(file)),
            cwd=tree,
            # Ray's processes take the tree from here too, whatever else is installed.
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if not file.exists():  # its own bar is not ours: rows are all that is asked
            raise RuntimeError(f"benchmarks.throughput of {tree} failed:\n{done.stderr}")
        return dict(zip(WAYS, (row.value for row in read_rows(file)), strict=True))


def rates(results: Sequence[Result], way: str) -> list[float]:
    return [result[way] for result in results]


def rows_of(this: Sequence[Result], earlier: Sequence[Result]) -> list[Row]:
    """Users come through HTTP: that has the bar."""
    rows = []
    for way in WAYS:
        pairs, name = Pairs(rates(this, way), rates(earlier, way)), f"{NAME}, {way}"
        has_bar = way == WAYS[0]
        rows += [
            shown_row(name, pairs.this, "tokens/s", "a cluster each"),
            shown_row(f"{name}, {COMMIT}", pairs.earlier, "tokens/s", "a cluster each"),
            Row(
                f"{name}: this tree beside {COMMIT}",
                pairs.ratio,
                "x",
                f">= {RATIO_BAR}x" if has_bar else "none: shown beside HTTP",
                pairs.ratio >= RATIO_BAR or not has_bar,
                f"measured: of the medians; {pairs.spread()}",
            ),
        ]
    return rows


def measure(checkout: Path | None, rounds: int) -> list[Row]:
    try:
        with earlier_tree(checkout, native=True) as earlier:
            trees = {"this": ROOT, "earlier": earlier}
            return rows_of(*in_turn(lambda side: throughput(trees[side]), tuple(trees), rounds))
    except NoEarlierTree as error:
        return [missing_row(NAME, str(error))]


def main() -> int:
    parser = arguments("Tokens a second of the local world, beside an earlier commit.")
    add_option(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interleaved pairs")
    options = parser.parse_args()
    return report(measure(options.earlier, options.rounds), options.json, "Local world")


if __name__ == "__main__":
    sys.exit(main())
