"""What a test process said as it died is shown at the end of the run, where a short log keeps it.

Python writes the stacks of all threads when a signal ends its process. Between the output of other
processes, and before a list of some hundred extension modules, nobody finds them.
"""

import faulthandler
import re
from pathlib import Path
from typing import Any, TextIO

import pytest

# Of each thread but the one that died only where it was.
LINES_OF_OTHERS = 2
LINES_MAX = 60
WAIT_S = 10.0
OF_MODULES = "Extension modules"
# Whoever calls a test, the same for all.
CALLERS = re.compile(r"/site-packages/(_pytest|pluggy|xdist|execnet)/|\"<string>\", line")

# Until the process ends: a handler of a signal writes to its descriptor.
_open: list[TextIO] = []


def hear(folder: Path, process: str) -> None:
    """From now on this test process writes its last words into a file of its own."""
    _open.append((folder / process).open("w"))
    faulthandler.enable(_open[-1])


def hear_again() -> None:
    """Before each test: Ray has a process that it is in write them to where nobody looks."""
    if _open:
        faulthandler.enable(_open[-1])


def told(folder: Path) -> list[str]:
    """Lines of every process that died, the thread that did first."""
    lines: list[str] = []
    for file in sorted(folder.iterdir()):
        text = file.read_text(errors="replace").partition(OF_MODULES)[0].strip()
        if text:
            lines += [f"{file.name}:", *shortened(text)[:LINES_MAX]]
    return lines


def shortened(text: str) -> list[str]:
    """The signal, the stack of the thread that it came in, and the tops of all others."""
    lines = "\n".join(line for line in text.splitlines() if not CALLERS.search(line))
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", lines)]
    died = [block for block in blocks[1:] if block[0].startswith("Current thread")]
    others = [block[: 1 + LINES_OF_OTHERS] for block in blocks[1:] if block not in died]
    return [line for block in (blocks[0], *died, *others) for line in block]


class LastWords:
    """Of the process that hands out tests: gives each a folder, and shows what is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ended = folder, list[str]()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        node.workerinput["last_words"] = str(self._folder)  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """It died: of which signal, or with which status."""
        if error is None:
            return
        try:
            status = node.gateway._io.popen.wait(WAIT_S)
        except Exception as why:  # of another version of execnet, or it lives: then that is said
            status = f"none: {why!r}"
        self._ended.append(f"{node.gateway.id} ended with status {status}, of signal where below 0")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [*self._ended, *told(self._folder)]
        if lines:
            terminalreporter.section("what a process said as it died")
            terminalreporter.write_line("\n".join(lines))
