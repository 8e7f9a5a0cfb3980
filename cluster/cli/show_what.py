"""What `perfuse show NAME` draws: a scenario's cluster, a model, or a shipped link."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from cluster.cli.model import render_model as describe
from cluster.cli.model_fit import Asked
from cluster.cli.show import render
from cluster.cli.show_link import is_link, render_preset
from cluster.cli.show_model import is_model, render_model
from cluster.worlds.blueprint import Blueprint
from configs.model_presets import is_model_name
from configs.schema import load_scenario


def picture(name: str, changes: Mapping[str, Any]) -> RenderableType:
    """changes: a scenario's keys and what replaces them. Raises ValueError where there is none."""
    if is_model_name(name):
        _no_keys(name, "model", "model.path", changes)
        return describe(name, Asked())
    if is_model(name):
        _no_keys(name, "model", "model.path", changes)
        return render_model(name)
    if is_link(name):
        _no_keys(name, "link", "cluster.nodes.decode.link", changes)
        return render_preset(name)
    drawn = Blueprint.draw(load_scenario(name, changes), needs_weights=False)
    return render(drawn.plan, drawn.scenario, drawn.model)


def _no_keys(name: str, what: str, key: str, changes: Mapping[str, Any]) -> None:
    for changed, value in changes.items():
        raise ValueError(
            f"--set {changed}={value}: {name} is a {what}, which has no keys to replace: name a "
            f"scenario, and --set {key}={name}"
        )
