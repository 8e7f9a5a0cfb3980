"""Inside of a client's environment: runs the features of one client's file, one after another.

    python -P child.py FILE SERVER RESULTS

Nothing of ours can be imported here but this file, and nothing that a client prints disturbs: what
came out goes to RESULTS, a line of JSON for each feature when it ends, so that one that hangs loses
only itself.
"""

import asyncio
import importlib.util
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

WHY_LENGTH = 600  # characters of an error that are kept


@dataclass(frozen=True)
class Server:
    """What a client is told, and nothing else.

    url      with /v1, as clients want it       root     the same without
    model    the name to ask for                folder   its checkpoint, for who needs a tokenizer
    store    a vector store that is there       scratch  an empty folder of the client's own
    """

    url: str
    model: str
    folder: str
    store: str
    scratch: str

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")


Feature = Callable[[Server], Any]


def why(error: BaseException) -> str:
    """The error, and the line of the client's file where it came out."""
    said = f"{type(error).__name__}: {error}".strip()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.name != "run" and Path(frame.filename).parent == Path(__file__).parent:
            return f"{said[:WHY_LENGTH]} (line {frame.lineno}: {frame.line})"
    return said[:WHY_LENGTH]


def run(feature: Feature, server: Server) -> dict[str, object]:
    """One feature; its name is its docstring, and it works where it raises nothing."""
    began_s, problem = time.monotonic(), ""
    try:
        outcome = feature(server)
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)
    except Exception as error:
        problem = why(error)
    elapsed_s = round(time.monotonic() - began_s, 2)
    return {"feature": inspect.getdoc(feature), "why": problem, "seconds": elapsed_s}


def write(results: TextIO, line: dict[str, object]) -> None:
    results.write(json.dumps(line) + "\n")
    results.flush()


def main() -> None:
    file, server, results = sys.argv[1], Server(**json.loads(sys.argv[2])), sys.argv[3]
    specification = importlib.util.spec_from_file_location("client", file)
    assert specification is not None and specification.loader is not None
    client = importlib.util.module_from_spec(specification)
    with open(results, "a", encoding="utf-8") as lines:
        specification.loader.exec_module(client)
        write(lines, {"versions": {name: version(name) for name in client.PACKAGES}})
        for feature in client.FEATURES:
            write(lines, {"begins": inspect.getdoc(feature)})
            write(lines, run(feature, server))
    # Clients leave threads of telemetry and of pools behind; all has been said.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
