"""What of a blueprint lies in files, and the blueprint where these lie elsewhere. Pure, but for
reading the files here.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines.files import FileSet
from configs.presets import corpus_folder

MODEL, _COLLECTION = "model", "collection-"


def file_sets(blueprint: Blueprint) -> dict[str, FileSet]:
    """Name -> files, as they are here. Raises OSError where one cannot be read."""
    collections = blueprint.scenario.placement.collections
    found = {MODEL: FileSet.of(blueprint.folder)}
    for name, one in collections.items():
        found[_COLLECTION + name] = FileSet.of(corpus_folder(one.path))
    return found


def elsewhere(blueprint: Blueprint, paths: Mapping[str, Path]) -> Blueprint:
    """The same cluster where files lie elsewhere: by the names of `file_sets`."""
    scenario = blueprint.scenario
    placed = {
        name: one.model_copy(update={"path": str(paths[_COLLECTION + name])})
        for name, one in scenario.placement.collections.items()
    }
    placement = scenario.placement.model_copy(update={"collections": placed})
    return replace(
        blueprint,
        folder=paths[MODEL],
        scenario=scenario.model_copy(update={"placement": placement}),
    )
