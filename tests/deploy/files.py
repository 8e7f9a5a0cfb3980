"""What lies in deploy/, read."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = ("kuberay/raycluster.yaml", "kuberay/rayservice.yaml")


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all(text(name)))


def document(name: str, kind: str) -> Any:
    return next(found for found in documents(name) if found["kind"] == kind)


def ray_spec(name: str) -> Any:
    """The Ray cluster of a manifest, wherever it stands in it."""
    found = {one["kind"]: one for one in documents(name)}
    if "RayCluster" in found:
        return found["RayCluster"]["spec"]
    return found["RayService"]["spec"]["rayClusterConfig"]


def pods(name: str) -> dict[str, Any]:
    """Group -> its pods' spec."""
    spec = ray_spec(name)
    groups = {"head": spec["headGroupSpec"]}
    groups |= {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    return {group: found["template"]["spec"] for group, found in groups.items()}
