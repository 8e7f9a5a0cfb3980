"""A pytest plugin: which lines of the mutated folders each test runs, and how long it takes.

`python -m pytest -p benchmarks.mutants.seen --seen FILE tests`. A line that runs while modules are
imported belongs to no test: `Seen.tests_of` then takes all tests of its file.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from benchmarks.mutants.folders import FOLDERS, ROOT


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seen", type=Path, required=True, help="where the map goes, as JSON")


class Watch:
    """One coverage context a test: its name."""

    def __init__(self) -> None:
        self._coverage = coverage.Coverage(
            data_file=None, source=[str(ROOT / folder) for folder in FOLDERS], config_file=False
        )
        self._coverage.start()
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        begun = time.monotonic()
        try:
            return (yield)
        finally:
            self._seconds[item.nodeid] = time.monotonic() - begun
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tests by number, since each is named by many lines."""
        self._coverage.stop()
        data = self._coverage.get_data()
        tests = sorted(set(self._seconds) - self._failed)
        numbers = {name: number for number, name in enumerate(tests)}
        files: dict[str, dict[int, list[int]]] = defaultdict(dict)
        for path in sorted(data.measured_files()):
            for line, names in sorted(data.contexts_by_lineno(path).items()):
                found = sorted(numbers[name] for name in names if name in numbers)
                files[str(Path(path).relative_to(ROOT))][line] = found
        seconds = [round(self._seconds[name], 3) for name in tests]
        written = {"tests": tests, "seconds": seconds, "failed": sorted(self._failed)}
        session.config.getoption("--seen").write_text(json.dumps({**written, "files": files}))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Watch(), "mutants-watch")
