"""A link's curve as a picture: the figures are reckoned by hand, bars as long as they say."""

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.cli.show_link import curves, in_units, is_link, render_preset
from configs.presets import preset_names
from configs.schema import load_link
from tests.cluster.cli.test_show import drawn

runner = CliRunner()
UNITS = (("ms", 1e6), ("us", 1e3), ("ns", 1.0))


def link_lines(name: str) -> list[str]:
    console = Console(width=110, file=io.StringIO(), color_system=None)
    console.print(render_preset(name))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def words(lines: list[str], size: str) -> list[str]:
    (line,) = (line for line in lines if line.strip().startswith(f"{size} "))
    return " ".join(part.split("▕")[0].strip() for part in line.split("▏")).split()


def test_time_and_rates_by_size() -> None:
    """64 B: 4,080 + 341.5 ns; 14.5 and 187 MB/s. 1 MiB: 4,080 + 16 x 340 + 25,145.7 ns. 64 MiB:
    4,080 + 32 x 340 + 1,609,325.3 ns.
    """
    lines = link_lines("ib-mooncake")
    assert "4.08 us  41.7 GB/s  340 ns a 64 KiB, at most 32" in lines[1]
    assert words(lines, "64 B") == "64 B 4.42 us 14.5 MB/s 187 MB/s".split()
    assert words(lines, "1 MiB") == "1 MiB 34.7 us 30.2 GB/s 34.3 GB/s".split()
    assert words(lines, "64 MiB") == "64 MiB 1.62 ms 41.3 GB/s 41.4 GB/s".split()
    assert max(map(len, lines[2:-1])) <= 80, "what folds is no picture"


def test_bars_grow_with_what_they_show() -> None:
    lines = [line for line in link_lines("ib-mooncake") if "▕" in line]
    assert len(lines) == 21
    times = [line.split("▕")[1].split("▏")[0] for line in lines]
    rates = [line.split("▕")[2].split("▏")[0] for line in lines]
    for bars in (times, rates):
        assert {len(bar) for bar in bars} == {18}
        assert [bar.count("█") for bar in bars] == sorted(bar.count("█") for bar in bars)
    assert times[-1] == rates[-1] == "█" * 18


def test_a_scenario_shows_each_curve_once_and_no_line() -> None:
    assert "one after the other" not in drawn("demo")
    changes = {
        "cluster.nodes.decode.link": "ib-mooncake",
        "cluster.nodes.prefill.link": "ib-mooncake",
        "cluster.nodes.experts.link": {"base": "lowlat-2us", "message_rate": "5 Mmsg/s"},
        "cluster.nodes.hbf.link.startup": "1 us",
    }
    text = drawn("demo", changes)
    assert text.count(" 64 MiB ") == 3
    assert "~5 Mmsg/s" in text
    assert "start-up ~1 us" in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("name", preset_names("link"))
def test_every_shipped_link_can_be_drawn(name: str) -> None:
    assert is_link(name)
    assert len(link_lines(name)) == 25
    assert (curves([load_link(name)]) is not None) == (name == "ib-mooncake")


def test_the_command_takes_a_link_s_name() -> None:
    result = runner.invoke(app, ["show", "ib-mooncake"])
    assert (result.exit_code, "64 MiB" in result.output) == (0, True)
    result = runner.invoke(app, ["show", "ib-mooncake", "--set", "latency=1 us"])
    text = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "--set latency=1 us: ib-mooncake is a link, which has no keys to replace" in text


def test_three_digits_in_a_unit_of_which_there_is_one() -> None:
    shown = [in_units(value, UNITS) for value in (0.5, 9.994, 999.6, 1_234, 999_900, 123_456_789)]
    assert shown == ["0.5 ns", "9.99 ns", "1 us", "1.23 us", "1 ms", "123 ms"]
