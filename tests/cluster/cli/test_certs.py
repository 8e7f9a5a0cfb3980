"""`perfuse certs`: what it makes, what it says, and what it leaves alone."""

import ssl
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from configs.certificates import read_certificates

runner = CliRunner()
NAMES = {"ca.crt", "ca.key", "node.crt", "node.key"}


def run(*arguments: str, code: int = 0) -> str:
    result = runner.invoke(app, ["certs", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_it_makes_what_a_cluster_takes_and_says_what_is_next(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "certs"
    text = run(str(folder), "--days", "30")
    assert {path.name for path in folder.iterdir()} == NAMES
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    made = read_certificates(folder, "127.0.0.1")
    assert f"until {made.until}" in text
    assert all(name in text for name in NAMES)
    assert f"--set cluster.certificates={folder}" in text


def test_the_open_file_mask_of_who_asks_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was there, open to all, is closed first."""
    folder = tmp_path / "certs"
    folder.mkdir(mode=0o755)
    run(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("host", ["gpu-7.lab", "10.1.2.3", "fe80::1"])
def test_a_host_that_is_named_may_be_dialled_by_that_name(tmp_path: Path, host: str) -> None:
    """Beside this machine's own names."""
    folder = tmp_path / "certs"
    run(str(folder), "--host", host)
    for name in (host, "localhost", "127.0.0.1", "::1"):
        read_certificates(folder, name)
    with pytest.raises(ValueError, match="not valid for"):
        read_certificates(folder, "gpu-8.lab")


@pytest.mark.parametrize("host", ["", "a,b", "a b", "a\nb", "1.2.3", "-a", "a/b", "x" * 300])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    text = run(str(tmp_path / "certs"), "--host", host, code=2)
    assert "must be a host's name or an IP address" in " ".join(text.split())
    assert not (tmp_path / "certs").exists()


@pytest.mark.parametrize("days", ["0", "-1", "3651"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, days: str) -> None:
    text = run(str(tmp_path / "certs"), "--days", days, code=2)
    assert "must be from 1 to 3650" in text
    assert not (tmp_path / "certs").exists()


def test_what_is_there_stays_unless_told(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    run(str(folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    text = run(str(folder), code=2)
    assert "has certificates already" in text and "--overwrite" in text
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    run(str(folder), "--overwrite")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(after) == NAMES and not any(after[name] == before[name] for name in NAMES)


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_folder_of_something_else_is_never_touched(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    (tmp_path / "node.key").write_text("mine")
    text = run(str(tmp_path), *options, code=2)
    assert "holds 'thesis.tex', which is no certificate" in " ".join(text.split())
    assert (tmp_path / "node.key").read_text() == "mine"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "certs").write_text("a file")
    assert "is no folder" in run(str(tmp_path / "certs"), code=2)


def test_without_openssl_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the package openssl" in run(str(tmp_path / "certs"), code=2)
    assert not (tmp_path / "certs").exists()


def test_a_setting_of_openssl_s_elsewhere_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "openssl.cnf"
    broken.write_text("[[[")
    monkeypatch.setenv("OPENSSL_CONF", str(broken))
    run(str(tmp_path / "certs"))


def test_the_node_s_certificate_cannot_sign(tmp_path: Path) -> None:
    """Who has a node's key can be that node, and cannot make others."""
    run(str(tmp_path / "certs"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "certs" / "node.crt")
    assert context.get_ca_certs() == []
    context.load_verify_locations(tmp_path / "certs" / "ca.crt")
    assert len(context.get_ca_certs()) == 1
