"""The table of docs/http.md: what each client did here, as a bench's rows say.

python -m benchmarks.clients --json rows.json && python -m benchmarks.clients.table rows.json
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clients.clients import CLIENTS, Client
from benchmarks.clients.paths import ROOT
from benchmarks.clients.running import Outcome
from benchmarks.rows import Row, read_rows

PAGE = ROOT / "docs" / "http.md"
WORKS = "works"
BAR = "works unchanged"
HEAD = "| client | version | features |\n|---|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def row(client: Client, outcome: Outcome) -> Row:
    """One feature beside its bar; its name is what the table is made from."""
    return Row(
        f"{client.name} {client.version}: {outcome.feature}",
        "fails" if outcome.why else WORKS,
        "",
        BAR,
        not outcome.why,
        f"measured: {outcome.why or f'ran in {outcome.seconds:.1f} s'}",
    )


def line(client: Client, rows: Sequence[Row]) -> str:
    """A client's line of the table: what works, and what does not where something does not."""
    prefix = f"{client.name} {client.version}: "
    mine = [one for one in rows if one.name.startswith(prefix)]
    if not mine:
        raise ValueError(f"no row is of {client.name} {client.version}: run all clients")
    told = {True: [], False: []}  # type: dict[bool, list[str]]
    for one in mine:
        told[one.value == WORKS].append(one.name.removeprefix(prefix))
    features = "; ".join(told[True])
    if told[False]:
        features += f". **Not**: {'; '.join(told[False])}"
    return f"| {client.name} | {client.version} | {features} |\n"


def table(rows: Sequence[Row]) -> str:
    return HEAD + "".join(line(client, rows) for client in CLIENTS)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path, help="what `python -m benchmarks.clients --json` wrote")
    made = table(read_rows(parser.parse_args().rows))
    page = PAGE.read_text(encoding="utf-8")
    if not TABLE.search(page):
        raise ValueError(f"{PAGE} has no table that begins with {HEAD.splitlines()[0]}")
    PAGE.write_text(TABLE.sub(lambda _: made, page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
