"""Traces of JSON objects, one a line or all in one array: what they share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.workload.traces.recorded import Notes, Recorded
from cluster.workload.traces.source import Item, first_line, json_array, json_lines
from cluster.workload.traces.values import Row, wrong

Parse = Callable[[Row, Item, Notes], Iterator[Recorded]]


@dataclass(frozen=True, slots=True)
class JsonRows:
    """parse    (row, where it lies, notes) -> its requests
    used     keys that `parse` looks at        unused   keys that the format has besides
    """

    parse: Parse
    used: Sequence[str]
    unused: Sequence[str] = ()

    def __call__(self, path: Path, notes: Notes) -> Iterator[Recorded]:
        for item in json_items(path):
            if not isinstance(item.value, dict):
                wrong(item.where, "the line", item.value, "a JSON object")
            notes.keys(item.where, item.value, self.used, self.unused)
            yield from self.parse(Row(item.where, item.value), item, notes)


def json_items(path: Path) -> Iterator[Item]:
    """The file's JSON values, whichever of the two ways it has them."""
    return json_array(path) if first_line(path).startswith("[") else json_lines(path)
