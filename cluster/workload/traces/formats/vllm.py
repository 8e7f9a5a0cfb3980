"""What `vllm bench serve` reads and writes.

custom    JSON lines {"prompt": text, "output_tokens": n}: each a user's message; no times
results   what --save-result wrote: one object with a list for each of input_lens, output_lens and,
          of newer versions, start_times (seconds); requests that failed have no output
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.chat import recorded_words
from cluster.workload.traces.formats.json_rows import JsonRows
from cluster.workload.traces.recorded import Format, Notes, Recorded, Said
from cluster.workload.traces.source import Item, first_line, whole_json
from cluster.workload.traces.values import Row, S
from configs.outside import shown

USED = ("prompt", "output_tokens")
_ONE_A_LINE = "JSON objects stand one a line, or in one array"
RESULTS = ("input_lens", "output_lens", "start_times")


def rows(path: Path, notes: Notes) -> Iterator[Recorded]:
    if is_result(path):
        return _results(path, notes)
    return JsonRows(_custom, USED)(path, notes)


def is_result(path: Path) -> bool:
    """Whether the first line that says something is a result's, or begins one of many lines."""
    first = first_line(path)
    return first == "{" or any(f'"{key}"' in first for key in RESULTS)


def said(value: Any, _: int) -> Said:
    return Said(({"role": "user", "content": value["prompt"]},))


def _custom(row: Row, item: Item, notes: Notes) -> Iterator[Recorded]:
    if row.text_or_none("prompt") is None:
        raise TraceError(f"{row.where}: prompt is missing: it must be a text")
    yield from recorded_words(
        row, item, notes, said, row.length_or_none("output_tokens"), history="none"
    )


def _results(path: Path, notes: Notes) -> Iterator[Recorded]:
    try:
        value = whole_json(path).value
    except TraceError as error:
        raise TraceError(f"{error}: {_ONE_A_LINE}") from error
    if isinstance(value, dict) and not any(key in value for key in RESULTS):
        found = ", ".join(shown(key) for key in list(value)[:12])
        raise TraceError(f"{path}: is one object over several lines, with {found}: {_ONE_A_LINE}")
    lists = [value.get(key) for key in RESULTS] if isinstance(value, dict) else [None, None, None]
    inputs, outputs, starts = lists
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise TraceError(
            f"{path}: lacks input_lens or output_lens: `vllm bench serve` writes them with "
            "--save-result --save-detailed"
        )
    if starts is not None and not isinstance(starts, list):
        raise TraceError(f"{path}: start_times must be a list of seconds")
    starts = [None] * len(inputs) if starts is None else starts
    if len(outputs) != len(inputs) or len(starts) != len(inputs):
        raise TraceError(f"{path}: {', '.join(RESULTS)} must be equally long")
    for number, (given, made, start) in enumerate(zip(inputs, outputs, starts, strict=True)):
        row = Row(f"{path}: request {number}", {"input": given, "output": made, "start": start})
        num_input, num_output = row.length("input"), row.length("output")
        if num_input and num_output:
            yield Recorded(row.where, row.time_ns("start", S), num_input, num_output)
        else:
            notes.skipped += 1


FORMAT = Format(
    "vllm", "JSON lines with prompt, or a result with input_lens and output_lens", rows, said
)
