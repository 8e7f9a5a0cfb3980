"""`perfuse serve` in a process of its own, for tests of what a whole server does."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.cli.test_serve import started


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL, without /v1."""
    command = ("-m", "cluster.cli.main", "serve", *arguments, "--port", "0")
    with started(*command) as (process, _):
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        line = next(line for line in lines if "http://" in line)
        # Nobody reads what it says later: a full pipe would hold it up.
        threading.Thread(target=list, args=(lines,), daemon=True).start()
        yield process, line[line.index("http://") :].split("/v1")[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
