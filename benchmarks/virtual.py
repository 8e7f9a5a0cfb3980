"""The demo in the virtual world: `python -m benchmarks.virtual [--json FILE]`.

A user's whole command in a fresh process, timed from its start to its end; and what it, and a node
that holds no model, have loaded.
"""

import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.rows import Row, arguments, report

TIME_BAR_S = 30
TIMEOUT_S = 300
NUM_RUNS = 3

RUN_DEMO = """
from cluster.cli.main import app
app(["run", "demo", "--world", "virtual"], standalone_mode=False)
"""
LIGHT = {
    "router": "import cluster.router.router, cluster.router.control",
    "gateway": "import cluster.gateway.http.server, cluster.gateway.router_client",
    "memory server": "import workers.memory.memory_server",
    "workload driver": "import cluster.workload.driver",
}
# Appended to a script: says on stderr's last line which of the named modules it has loaded.
TELL = """
import sys
print(*(name for name in {names!r} if name in sys.modules), file=sys.stderr)
"""


def loaded(script: str, names: Sequence[str]) -> tuple[list[str], float]:
    """Which of `names` a fresh process has loaded after `script`, and seconds it took in all.

    Raises RuntimeError if the script fails.
    """
    started = time.monotonic()
    done = subprocess.run(
        (sys.executable, "-c", script + TELL.format(names=tuple(names))),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    elapsed_s = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"{script}\nfailed:\n{done.stderr}")
    return done.stderr.splitlines()[-1].split(), elapsed_s


def import_row(what: str, found: Sequence[str], names: Sequence[str]) -> Row:
    return Row(
        f"{what} loads none of: {', '.join(names)}",
        ", ".join(found) or "none",
        "",
        "none",
        not found,
        "measured: sys.modules of a fresh process at its end",
    )


def main() -> int:
    options = arguments("The demo scenario in the virtual world.").parse_args()
    runs = [loaded(RUN_DEMO, ("ray", "grpc")) for _ in range(NUM_RUNS)]
    slowest_s = max(elapsed_s for _, elapsed_s in runs)
    rows = [
        Row(
            "perfuse run demo --world virtual",
            slowest_s,
            "s",
            f"<= {TIME_BAR_S} s",
            slowest_s <= TIME_BAR_S,
            f"measured: slowest of {NUM_RUNS} runs, whole process; "
            + ", ".join(f"{elapsed_s:.1f} s" for _, elapsed_s in runs),
        ),
        import_row("the virtual demo", runs[0][0], ("ray", "grpc")),
    ]
    for what, script in LIGHT.items():
        heavy = ("ray", "torch")
        rows.append(import_row(what, loaded(script, heavy)[0], heavy))
    return report(rows, options.json, "Virtual world")


if __name__ == "__main__":
    sys.exit(main())
