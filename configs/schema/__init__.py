"""The scenario: one YAML file that says everything a run depends on."""

from configs.schema.cluster import ClusterSection
from configs.schema.device import DeviceSpec, TierSpec
from configs.schema.economics import DeviceCost, EconomicsSection
from configs.schema.errors import ScenarioError
from configs.schema.faults import FaultRule
from configs.schema.link import LinkSpec
from configs.schema.load import dump_scenario, load_device, load_link, load_scenario
from configs.schema.model import ModelSection
from configs.schema.nodes import CHIP_ROLES, SINGLE_ROLES, NodeGroup, Role
from configs.schema.placement import CollectionPlacement, ExpertPlacement, PlacementSection
from configs.schema.scenario import Scenario
from configs.schema.slo import SloSection
from configs.schema.workload import WorkloadSection

__all__ = [
    "CHIP_ROLES",
    "SINGLE_ROLES",
    "ClusterSection",
    "CollectionPlacement",
    "DeviceCost",
    "DeviceSpec",
    "EconomicsSection",
    "ExpertPlacement",
    "FaultRule",
    "LinkSpec",
    "ModelSection",
    "NodeGroup",
    "PlacementSection",
    "Role",
    "Scenario",
    "ScenarioError",
    "SloSection",
    "TierSpec",
    "WorkloadSection",
    "dump_scenario",
    "load_device",
    "load_link",
    "load_scenario",
]
