"""Traces: small ones written here, the public ones where they are at hand; errors name the line."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.workload.traces import TraceEntry, TraceError, read_trace
from cluster.workload.traces.formats.known import FORMATS

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("PERFUSE_SHARED_DATA", ROOT.parent / "shared" / "data"))

MOONCAKE = (
    '{"timestamp": 27, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n'
    '{"timestamp": 27, "input_length": 512, "output_length": 7, "hash_ids": [0]}\n'
    "\n"
    '{"timestamp": 3027, "input_length": 1, "output_length": 1, "hash_ids": [9], '
    '"session_id": "s", "priority": 2}\n'
)
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:17:03.9799600,4808,10\r\n"
    "2023-11-16 18:17:04.0319601,3180,8\r\n"
    "2023-11-17 00:00:00,1,2"
)


def write(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_bytes(text.encode())
    return path


def test_mooncake_lines_become_entries(tmp_path) -> None:
    assert tuple(read_trace("mooncake", write(tmp_path, MOONCAKE))) == (
        TraceEntry(0, 600, 5, (0, 1)),
        TraceEntry(0, 512, 7, (0,)),
        TraceEntry(3_000_000_000, 1, 1, (9,), "s"),
    )


def test_azure_rows_keep_all_seven_decimals(tmp_path) -> None:
    entries = read_trace("azure", write(tmp_path, AZURE))
    assert [entry.at_ns for entry in entries] == [0, 52_000_100, 20_576_020_040_000]
    assert [(e.input_length, e.output_length) for e in entries] == [(4808, 10), (3180, 8), (1, 2)]


def test_only_as_much_as_is_asked_for_is_read(tmp_path) -> None:
    """What comes after the wanted lines may even be broken."""
    path = write(tmp_path, MOONCAKE + "broken\n")
    assert len(read_trace("mooncake", path, 3)) == 3
    with pytest.raises(TraceError, match=":5: is not JSON"):
        read_trace("mooncake", path)


LINE = '{"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [0]}'
CHAT = b'[{"conversations": [{"from": "human", "value": "a"}]},'
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("mooncake", "", "holds no request"),
        ("mooncake", "{}", ":1: input_length is None: it must be a whole number from 0 to"),
        ("mooncake", "7", ":1: the line is 7: it must be a JSON object"),
        ("mooncake", LINE.replace("512", "0"), "holds no request, and 1 rows of length 0"),
        ("mooncake", LINE.replace("512", "-7"), ":1: input_length is -7: it must be"),
        ("mooncake", LINE.replace("512", "0.5"), ":1: input_length is 0.5: it must be"),
        ("mooncake", LINE.replace("512", '"many"'), ":1: input_length is 'many'"),
        (
            "mooncake",
            LINE.replace("512", "513"),
            "hash_ids is 1 ids: it must be 2, one for each 512 of 513",
        ),
        ("mooncake", LINE.replace("[0]", "[-1]"), "hash_ids is .-1.: it must be a list"),
        ("mooncake", LINE.replace("[0]", "3"), "hash_ids is 3"),
        ("azure", "", "lacks column TIMESTAMP"),
        ("azure", "TIMESTAMP,Context\r\n", ":1: lacks column ContextTokens, GeneratedTokens"),
        ("azure", HEADER, "holds no request"),
        ("azure", HEADER + "yesterday,1,1", ":2: TIMESTAMP is 'yesterday'"),
        ("azure", HEADER + "2023-11-16 18:17:03.1234567890,1,1", "at most nine decimals"),
        ("azure", HEADER + "2023-11-16 18:17:03.1,-4,1", ":2: ContextTokens is '-4'"),
        ("azure", HEADER + "2023-11-16 18:17:03.1,4", ":2: GeneratedTokens is None"),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path, kind, text, message) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(kind, path)
    assert str(caught.value).startswith(str(path))


def test_too_short_and_missing_traces_are_refused(tmp_path) -> None:
    with pytest.raises(TraceError, match="holds 3 requests: 4 were asked for"):
        read_trace("mooncake", write(tmp_path, MOONCAKE), 4)
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace("azure", tmp_path / "nowhere.csv")


def public(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here: set PERFUSE_SHARED_DATA")
    return path


def test_the_public_mooncake_trace_reads_whole() -> None:
    entries = read_trace("mooncake", public("mooncake_conversation_trace.jsonl"))
    assert len(entries) == 12_031
    assert entries[-1].at_ns == 3_536_999 * 10**6
    seen: set[int] = set()
    hits = total = 0
    for entry in entries:
        hits += sum(block in seen for block in entry.hash_ids)
        total += len(entry.hash_ids)
        seen.update(entry.hash_ids)
    assert (total, len(seen)) == (288_500, 182_790)
    assert hits / total == pytest.approx(0.366, abs=0.001)


@pytest.mark.parametrize(("service", "rows"), [("code", 8_819), ("conv", 19_366)])
def test_the_public_azure_traces_read_whole(service: str, rows: int) -> None:
    assert len(read_trace("azure", public(f"azure_llm_2023_{service}.csv"))) == rows


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["mooncake", "azure"])
def test_a_trace_that_is_no_file_is_named(tmp_path, kind) -> None:
    """A pipe nobody writes to, a device without end, a link to itself, a sparse TiB."""
    pipe, loop, sparse = tmp_path / "pipe", tmp_path / "loop", tmp_path / "sparse"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    for path in (pipe, loop, sparse, tmp_path, Path("/dev/zero")):
        with pytest.raises(TraceError, match=path.name):
            read_trace(kind, path)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("mooncake", '{"a":' + "[" * 900 + "]" * 900 + "}", ":1: is nested too deep"),
        ("mooncake", '{"timestamp": 1e400}', ":1: 'timestamp' is 1e400"),
        (
            "mooncake",
            '{"timestamp": ' + "9" * 5000 + "}",
            ":1: 'timestamp' is 99999999999999999999..., an integer of 5000 digits",
        ),
        ("mooncake", '{"timestamp": 1, "timestamp": 2}', ":1: names 'timestamp' twice"),
        ("mooncake", LINE.replace("512", str(10**12)), ":1: input_length is 1000000000000"),
        ("mooncake", LINE.replace("0,", "10000000000000000,", 1), ":1: timestamp is 10000000"),
        ("mooncake", LINE.replace("}", ', "session_id": [[]]}'), ":1: session_id is "),
        ("mooncake", "x" * (1 << 24) + "x", ":1: is longer than 16777216 bytes"),
        ("azure", HEADER + "2023-11-16 18:17:03.1," + "9" * 5000 + ",1", ":2: ContextTokens"),
        ("azure", HEADER + '"' + "a" * 200_000 + '",1,1', "is not CSV: field larger"),
        ("azure", HEADER + '2023-11-16 18:17:03.1,1,"1', "is not CSV: unexpected end"),
        ("azure", HEADER + "2023-11-16 18:17:03.1,1,\0", ":2: GeneratedTokens is"),
    ],
)
def test_hostile_lines_are_named(tmp_path, kind, text, message) -> None:
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(kind, write(tmp_path, text))
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.text('{}[]":,0123456789.e-+ \r\n', max_size=80))
def test_any_bytes_are_a_trace_or_refused(tmp_path, data) -> None:
    path = tmp_path / "trace"
    for prefix in (b"", HEADER.encode(), LINE.encode() + b"\n", b"[", CHAT):
        path.write_bytes(prefix + (data if isinstance(data, bytes) else data.encode()))
        for kind in (None, *FORMATS):
            with suppress(TraceError):
                read_trace(kind, path)
