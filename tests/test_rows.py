"""A number that is shown has a bar and evidence, and a bar that crashed does not hold."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks import verify
from benchmarks.rows import (
    UNAVAILABLE,
    Row,
    arguments,
    read_rows,
    report,
    shown,
    wide_console,
    write_rows,
)

ROOT = Path(__file__).resolve().parent.parent

ROWS = st.lists(
    st.builds(
        Row,
        name=st.text(),
        value=st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        unit=st.text(),
        bar=st.text(),
        holds=st.booleans(),
        evidence=st.sampled_from(["measured", "calibrated: fit, 3 % off", "projection"]),
    )
)


def row(holds: bool = True, value: float | str = 1.5) -> Row:
    return Row("prompts equal", value, "s", "<= 2 s", holds, "measured: one run")


@pytest.fixture
def quiet() -> Console:
    return Console(quiet=True)


def test_evidence_must_say_what_kind_it_is() -> None:
    with pytest.raises(ValueError, match=r"'guessed'.*measured, calibrated, projection"):
        Row("x", 1.0, "", "", True, "guessed")


@given(rows=ROWS)
def test_rows_come_back_as_they_were_written(
    rows: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "new" / "rows.json"
    write_rows(rows, path)
    assert read_rows(path) == rows
    assert [p.name for p in path.parent.iterdir()] == ["rows.json"]


def test_numpy_scalars_and_odd_numbers_become_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    odd = Row("x", np.float32(0.5), "", "", np.bool_(True), "measured")  # type: ignore[arg-type]
    write_rows([odd, row(value=float("nan")), row(value=float("-inf"))], path)
    assert [r["value"] for r in json.loads(path.read_text())] == [0.5, "nan", "-inf"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    write_rows([row()], path)
    bad = Row("x", 1.0, object(), "", True, "measured")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_rows([bad], path)
    assert read_rows(path) == [row()]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.json"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "not JSON"), ("{}", "list of rows"), ('[{"name": 1}]', "row 0"), ("[3]", "row 0")],
)
def test_what_is_not_rows_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_rows(path)


@pytest.mark.parametrize(
    ("rows", "code"),
    [([row()], 0), ([row(), row(holds=False)], 1), ([], 1)],
    ids=["all hold", "one does not", "nothing was measured"],
)
def test_exit_code_says_whether_all_hold(
    rows: list[Row], code: int, tmp_path: Path, quiet: Console
) -> None:
    path = tmp_path / "rows.json"
    assert report(rows, path, title="t", console=quiet) == code
    assert read_rows(path) == rows


def test_table_takes_brackets_literally() -> None:
    console = wide_console()
    with console.capture() as shown_text:
        report(
            [Row("recall [store]", 12345.0, "rows/s", "[/]", False, "measured")], console=console
        )
    assert "recall [store]" in shown_text.get()
    assert "12,345 rows/s" in shown_text.get()
    assert "NO" in shown_text.get()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (1234567.0, "1,234,567"),
        (0.00012345, "0.0001234"),
        (98765.4, "98,765"),
        ("a", "a"),
    ],
)
def test_values_are_shown_short(value: float | str, text: str) -> None:
    assert shown(value) == text


def test_json_argument_is_a_path_or_nothing() -> None:
    assert arguments("d").parse_args(["--json", "a/b"]).json == Path("a/b")
    assert arguments("d").parse_args([]).json is None


# What a bar may do, as a program: its rows file is the last argument.
WRITES = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text({text!r}); sys.exit({code})"
GOOD = json.dumps([row().__dict__])
BAD = json.dumps([row(holds=False).__dict__])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a bar out of Python source: a module that `python -m` finds."""

    def make(source: str) -> verify.Bar:
        (tmp_path / "some_bar.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return verify.Bar("some_bar")

    return make


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        (WRITES.format(text=GOOD, code=0), [True]),
        (WRITES.format(text=BAD, code=1), [False]),
        (WRITES.format(text=GOOD, code=3), [True, False]),
        (WRITES.format(text="[]", code=0), [False]),
        (WRITES.format(text="{", code=0), [False]),
        ("raise RuntimeError('it broke')", [False]),
        ("", [False]),
    ],
    ids=["good", "bar missed", "good then crashed", "no rows", "not rows", "crashed", "no file"],
)
def test_a_bar_that_failed_is_a_row_that_does_not_hold(
    program, source: str, holds: list[bool], tmp_path: Path
) -> None:
    rows, _ = verify.run_bar(program(source), tmp_path, timeout_s=60)
    assert [r.holds for r in rows] == holds


def test_a_bar_that_this_machine_has_not_the_means_for_says_what_is_missing(
    program, tmp_path: Path
) -> None:
    source = f"import sys; sys.stderr.write('no GPU here\\n'); sys.exit({UNAVAILABLE})"
    rows, _ = verify.run_bar(program(source), tmp_path, timeout_s=60)
    assert [(r.value, r.bar, r.holds) for r in rows] == [("left out", "none", True)]
    assert "no GPU here" in rows[0].evidence


def test_rows_that_were_written_count_whatever_the_exit_code(program, tmp_path: Path) -> None:
    rows, _ = verify.run_bar(
        program(WRITES.format(text=GOOD, code=UNAVAILABLE)), tmp_path, timeout_s=60
    )
    assert [r.holds for r in rows] == [True, False]


def test_a_crashed_bar_shows_its_last_words(program, tmp_path: Path) -> None:
    _, finished = verify.run_bar(program("raise RuntimeError('it broke')"), tmp_path, timeout_s=60)
    assert finished.exit_code == 1
    assert finished.tail.endswith("RuntimeError: it broke")


def test_a_bar_that_hangs_is_stopped(program, tmp_path: Path) -> None:
    bar = program("import threading; threading.Event().wait()")
    rows, finished = verify.run_bar(bar, tmp_path, timeout_s=0.5)
    assert finished.exit_code is None
    assert [r.holds for r in rows] == [False]
    assert str(rows[0].value).startswith("stopped after")


def test_all_rows_of_all_bars_are_in_the_table(program, quiet: Console) -> None:
    bar = program(WRITES.format(text=GOOD, code=0))
    assert verify.run_bars([bar, bar], 60, quiet) == [row(), row()]


def test_only_known_bars_can_be_chosen() -> None:
    assert verify.chosen([]) == verify.BARS
    assert [bar.name for bar in verify.chosen(["recall"])] == ["recall"]
    with pytest.raises(ValueError, match=r"no bar 'speed'.*recall"):
        verify.chosen(["speed"])


def test_command_line_refuses_an_unknown_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["verify", "--only", "speed"])
    with pytest.raises(SystemExit) as ended:
        verify.main()
    assert ended.value.code == 2
    assert "no bar 'speed'" in capsys.readouterr().err


def test_each_bar_is_a_module_with_a_make_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for bar in verify.BARS:
        path = ROOT / bar.module.replace(".", "/")
        program = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert program.is_file(), f"{bar.module} is missing"
        assert f"bench-{bar.name}" in makefile, f"make bench-{bar.name} is missing"


def test_where_rich_is_not_rows_are_lines() -> None:
    """In a process that cannot import it, so that nothing else of ours asks for it either."""
    code = (
        "import sys; sys.modules['rich'] = None; from benchmarks.rows import Row, report; "
        "sys.exit(report([Row('a [b]', 1.5, 's', '<= 1 s', False, 'measured: once')], title='t'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout == "t\na [b]: 1.5 s (bar: <= 1 s, holds: NO) measured: once\n"
