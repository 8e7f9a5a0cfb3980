"""What people bring works unchanged: nine clients against `perfuse serve`, and files they have.

    python -m benchmarks.clients [--json FILE] [--only openai litellm] [--without-parts]

Each client runs in an environment of its own (`python -m benchmarks.clients.setup` makes them)
against one server: the demo's cluster in one process, as fast as this machine goes. Afterwards the
benches of files and of the server's own work run, each in a process of its own.
"""

import sys

from benchmarks.clients.clients import Client, chosen
from benchmarks.clients.running import run_client
from benchmarks.clients.table import BAR, row
from benchmarks.rows import UNAVAILABLE, Row, arguments, report, wide_console
from benchmarks.serve import started
from benchmarks.verify import TIMEOUT_S, Bar, run_bars
from configs.perfuse_tiny import MODEL_DIR

MODEL = "perfuse-tiny"
STORE = "cards"  # the demo's
SERVED = (
    "demo",
    "--world=process",
    "--no-emulation",
    # Real time: an answer may take as long as this machine needs.
    "--set=slo.deadline=1 h",
)
# Other benches of what people bring; each writes rows of its own.
PARTS = tuple(
    Bar(f"benchmarks.{name}")
    for name in ("indexing", "structured", "templates", "configs", "traces")
)


def left_out(client: Client) -> Row:
    """Nothing was shown of it, so its bar does not hold."""
    advice = f"python -m benchmarks.clients.setup --only {client.name} says why, or makes it"
    name = f"{client.name} {client.version}: the client"
    return Row(name, "left out", "", BAR, False, f"measured: no environment; {advice}")


def client_rows(clients: list[Client]) -> list[Row]:
    """A row for each feature of each client, all against one server."""
    rows = [left_out(client) for client in clients if not client.is_here]
    with started(*SERVED) as served:
        for client in clients:
            if not client.is_here:
                continue
            outcomes = run_client(client, served.url, MODEL, MODEL_DIR, STORE)
            rows += [row(client, outcome) for outcome in outcomes]
            works = sum(not outcome.why for outcome in outcomes)
            print(f"{client.name}: {works} of {len(outcomes)} features work", flush=True)
    return rows


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", metavar="CLIENT", help="these, and no other bench")
    parser.add_argument(
        "--without-parts", action="store_true", help="the clients, and no other bench"
    )
    options = parser.parse_args()
    try:
        clients = chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if not any(client.is_here for client in clients):
        sys.stderr.write("no client is here: python -m benchmarks.clients.setup makes them\n")
        return UNAVAILABLE
    console = wide_console()
    rows = client_rows(clients)
    if not options.only and not options.without_parts:
        rows += run_bars(PARTS, TIMEOUT_S, console)
    return report(rows, options.json, "What people bring", console)


if __name__ == "__main__":
    sys.exit(main())
