"""The check of manifests itself: it finds what is planted, and says where."""

import copy

import pytest
import yaml

from tests.deploy.fields import faults, faults_of, known
from tests.deploy.files import MANIFESTS, document, documents

SCALARS = ("string", "integer", "number", "boolean", "quantity", "port", "object")
HEAD = "spec.headGroupSpec.template.spec.containers[0]"


def planted(change) -> list[str]:
    """What is found in the RayCluster once `change` has been made to it."""
    manifest = copy.deepcopy(document("kuberay/raycluster.yaml", "RayCluster"))
    change(manifest["spec"], manifest["spec"]["headGroupSpec"]["template"]["spec"])
    return faults(manifest)


def misspelt(spec, pod):
    pod["containers"][0]["imagePullPolciy"] = pod["containers"][0].pop("imagePullPolicy")


def outside_its_place(spec, pod):
    spec["containers"] = pod["containers"]


def missing(spec, pod):
    del pod["containers"][0]["name"]


def missing_list(spec, pod):
    del pod["containers"]


def missing_in_a_group(spec, pod):
    del spec["workerGroupSpecs"][1]["maxReplicas"]


def number_for_text(spec, pod):
    spec["headGroupSpec"]["rayStartParams"]["num-cpus"] = 4


def truth_for_text(spec, pod):
    pod["containers"][0]["env"] = [{"name": "A", "value": True}]


def text_for_number(spec, pod):
    pod["containers"][0]["ports"][1]["containerPort"] = "8265"


def text_for_truth(spec, pod):
    pod["enableServiceLinks"] = "false"


def mapping_for_list(spec, pod):
    pod["containers"][0]["env"] = {"A": "1"}


def list_for_mapping(spec, pod):
    pod["securityContext"] = []


def no_such_word(spec, pod):
    spec["authOptions"]["mode"] = "tokens"


def no_quantity(spec, pod):
    pod["containers"][0]["resources"]["limits"]["memory"] = "8 GB"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (misspelt, f"{HEAD}.imagePullPolciy: is no field here"),
        (outside_its_place, "spec.containers: is no field here"),
        (missing, f"{HEAD}.name: is required"),
        (missing_list, "spec.headGroupSpec.template.spec.containers: is required"),
        (missing_in_a_group, "spec.workerGroupSpecs[1].maxReplicas: is required"),
        (number_for_text, "spec.headGroupSpec.rayStartParams.num-cpus: is 4, not string"),
        (truth_for_text, f"{HEAD}.env[0].value: is True, not string"),
        (text_for_number, f"{HEAD}.ports[1].containerPort: is '8265', not integer"),
        (
            text_for_truth,
            "spec.headGroupSpec.template.spec.enableServiceLinks: is 'false', not boolean",
        ),
        (mapping_for_list, f"{HEAD}.env: is {{'A': '1'}}, not a list"),
        (
            list_for_mapping,
            "spec.headGroupSpec.template.spec.securityContext: is [], not a mapping",
        ),
        (no_such_word, "spec.authOptions.mode: is 'tokens', not disabled | token"),
        (no_quantity, f"{HEAD}.resources.limits.memory: is '8 GB', not quantity"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_planted_mistake_is_found_where_it_is(change, found):
    assert planted(change) == [found]


def test_all_mistakes_are_found_at_once():
    def three(spec, pod):
        misspelt(spec, pod)
        no_such_word(spec, pod)
        missing_in_a_group(spec, pod)

    assert len(planted(three)) == 3


@pytest.mark.parametrize("nonsense", [{}, {"kind": "Deployment"}, [], "kind: Job", None])
def test_what_is_no_known_document_is_no_manifest(nonsense):
    assert len(faults(nonsense)) == 1


def test_of_another_version_is_not_of_this_one():
    old = {**document("kuberay/raycluster.yaml", "RayCluster"), "apiVersion": "ray.io/v1alpha1"}
    assert faults(old) == ["apiVersion: is 'ray.io/v1alpha1', not ray.io/v1"]


def test_quantities():
    accepted = [4, "4", "500m", "8Gi", "0.5", "128974848", "2G"]
    refused = [True, 0.5, "", "8GiB", "Gi", "-1", None]
    limits = {str(number): value for number, value in enumerate([*accepted, *refused])}
    found = faults_of({"limits": limits}, "Resources")
    assert len(found) == len(refused)
    assert all(int(fault.split(".")[1].split(":")[0]) >= len(accepted) for fault in found)


def types(asked):
    """The names in a type, as the list of fields writes it."""
    if isinstance(asked, list):
        assert len(asked) == 1
        yield from types(asked[0])
    elif isinstance(asked, dict):
        assert list(asked) == ["each"]
        yield from types(asked["each"])
    else:
        yield asked


def test_the_list_of_fields_names_only_types_that_there_are():
    """A misspelt type would be taken for a word that a field may hold."""
    unknown = [
        f"{kind}.{name}: {one}"
        for kind, fields in known().items()
        for name, asked in fields.items()
        for one in types(asked)
        if one not in (*SCALARS, *known()) and " | " not in one and not one.startswith("= ")
    ]
    assert unknown == []


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_have_the_fields_of_their_kinds(name):
    found = documents(name)
    assert len(found) > 1
    assert [fault for one in found for fault in faults(one)] == []


def test_the_serve_application_has_the_fields_that_serve_knows():
    config = document("kuberay/rayservice.yaml", "RayService")["spec"]["serveConfigV2"]
    assert faults_of(yaml.safe_load(config), "Serve") == []
    assert faults_of({"applications": [{"importPath": "a:b"}]}, "Serve") == [
        "applications[0].import_path: is required",
        "applications[0].importPath: is no field here",
    ]
