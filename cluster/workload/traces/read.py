"""From a file to a trace: whatever is wrong anywhere in it is said before a run begins."""

from itertools import islice
from pathlib import Path

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats.known import format_of
from cluster.workload.traces.index import UNKNOWN, Columns, Trace
from cluster.workload.traces.order import ordered
from cluster.workload.traces.recorded import History, Notes
from cluster.workload.traces.source import is_packed, opened
from configs.outside import open_file
from configs.schema.trace import MOONCAKE_BLOCK_TOKENS, REQUESTS_MAX


def read_trace(
    kind: str | None,
    path: Path,
    num_requests: int | None = None,
    *,
    block_tokens: int = MOONCAKE_BLOCK_TOKENS,
    history: History = "auto",
) -> Trace:
    """The file's first `num_requests` requests, or all, sorted by time. Without `kind` the file's
    first row tells it. Raises TraceError.
    """
    with opened(path):  # a folder or a pipe is named before anything is looked for in it
        pass
    chosen, notes, columns = format_of(path, kind), Notes(block_tokens), Columns()
    # No name holds the rows that are left: an error's frame would keep the file open with them.
    for row in islice(chosen.rows(path, notes), num_requests or REQUESTS_MAX + 1):
        columns.add(row)
    if len(columns) > REQUESTS_MAX:
        raise TraceError(f"{path}: holds more than {REQUESTS_MAX} requests: name num_requests")
    if not len(columns):
        skipped = f", and {notes.skipped} rows of length 0" if notes.skipped else ""
        raise TraceError(f"{path}: holds no request{skipped}")
    if num_requests is not None and len(columns) < num_requests:
        raise TraceError(f"{path}: holds {len(columns)} requests: {num_requests} were asked for")
    if any(offset != UNKNOWN for offset in columns.offset):
        _check_unpacked(path)
    trace = ordered(chosen.name, path, columns, notes, history)
    trace.num_skipped, trace.notes = notes.skipped, notes.lines(path)
    trace.most_token_id = notes.most_token_id
    return trace


def _check_unpacked(path: Path) -> None:
    """Words are read again when their request arrives, from wherever they lie in the file."""
    with open_file(path, path.stat().st_size) as file:
        if is_packed(file):
            raise TraceError(f"{path}: holds words or token ids: unpack it first (gunzip)")
