"""The processes of a search. Each is told names of trials, a JSON list a line, and answers in the
same form with what they showed.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from cluster.chaos.search import Runner
from cluster.chaos.trial import Seen
from cluster.chaos.work import Worker

MODULE = "cluster.chaos.processes"
END_S = 10.0


class ProcessLost(RuntimeError):
    """A process of the search ended before it answered."""


@contextmanager
def processes(numerics: str, width: int) -> Iterator[Runner]:
    """`width` processes, or this one where that is 1. They end when it is left."""
    with TemporaryDirectory(prefix="perfuse-chaos-") as folder, ExitStack() as stack:
        if width == 1:
            worker = Worker(numerics, Path(folder))
            yield lambda parts: ([worker.named(name) for name in part] for part in parts)
            return
        free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        for _ in range(width):
            free.put(stack.enter_context(_started(numerics, folder)))

        def run(part: list[str]) -> list[Seen]:
            process = free.get()
            try:
                return _asked(process, part)
            finally:
                free.put(process)

        threads = stack.enter_context(ThreadPoolExecutor(width))
        yield lambda parts: threads.map(run, parts)


@contextmanager
def _started(numerics: str, folder: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", MODULE, numerics, folder]
    pipe = subprocess.PIPE
    # In a group of its own: a terminal's Ctrl-C is for whoever started this, and ends it.
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0)
    try:
        yield process
    finally:
        process.kill()
        process.wait(END_S)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _asked(process: subprocess.Popen[str], names: Sequence[str]) -> list[Seen]:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(list(names)) + "\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise ProcessLost(f"a process of the search is gone before trials {names}") from error
    line = process.stdout.readline()
    if not line:
        raise ProcessLost(f"a process of the search ended at one of the trials {names}")
    return [read_seen(body) for body in json.loads(line)]


def write_seen(seen: Seen) -> dict[str, Any]:
    """As JSON has it; without its picture and without what each fault hit."""
    body = asdict(seen)
    del body["marks"], body["hits"]
    body["features"] = sorted(seen.features)
    body["cells"] = [[*cell, count] for cell, count in seen.cells.items()]
    body["reach"] = sorted(seen.reach)
    return body


def read_seen(body: dict[str, Any]) -> Seen:
    """What `write_seen` wrote."""
    cells = {(what, point): count for what, point, count in body["cells"]}
    reach = frozenset((what, point) for what, point in body["reach"])
    return Seen(**{**body, "features": set(body["features"]), "cells": cells, "reach": reach})


def answer(numerics: str, folder: str, lines: Iterable[str]) -> Iterator[str]:
    """One line for each line of names."""
    worker = Worker(numerics, Path(folder))
    for line in lines:
        yield json.dumps([write_seen(worker.named(name)) for name in json.loads(line)])


if __name__ == "__main__":
    for told in answer(sys.argv[1], sys.argv[2], sys.stdin):
        sys.stdout.write(told + "\n")
        sys.stdout.flush()
