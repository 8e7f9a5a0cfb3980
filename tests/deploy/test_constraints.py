"""deploy/constraints.txt: exact versions of what Ray's extras bring, and of nothing twice."""

import importlib.metadata
import re

from tests.deploy.files import ROOT, text


def pins(written: str) -> dict[str, str]:
    lines = [line for line in written.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), lines
    return dict(name(line).split("==") for line in lines)


def name(requirement: str) -> str:
    """As the index spells it."""
    return requirement.lower().replace("_", "-")


def test_all_that_rays_extras_ask_for_is_pinned_once():
    """By the requirements of the Ray that is installed: a newer one may ask for more."""
    here = pins(text("constraints.txt"))
    there = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert not here.keys() & there.keys()
    asked = {
        name(re.split(r"[^\w.-]", requirement)[0])
        for requirement in importlib.metadata.requires("ray") or ()
        if re.search(r"""extra == ["'](serve|default)["']""", requirement)
    }
    assert asked
    assert asked - here.keys() - there.keys() == set()
