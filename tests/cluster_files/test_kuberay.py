"""cluster/kuberay: fields that KubeRay knows, the pinned versions, limits, no rights to spare."""

import copy
import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

REPOSITORY = Path(__file__).parents[2]
FILES = sorted((REPOSITORY / "cluster" / "kuberay").glob("*.yaml"))
WITH_PODS = ["raycluster", "train", "tune", "generate"]
SCHEMA = yaml.safe_load((Path(__file__).parent / "kubernetes_schema.yaml").read_text())
# Mappings whose keys are free: a renamed one is another name, not a mistake.
FREE = {"labels", "annotations", "matchLabels", "rayStartParams"}


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


@functools.cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]})


def problems(document: dict[str, Any]) -> Iterator[str]:
    kind = document.get("kind")
    if kind not in SCHEMA["$defs"]:
        yield f"kind {kind}"
        return
    for error in validator(kind).iter_errors(document):
        yield f"{error.json_path}: {error.message}"


def cluster_spec(name: str) -> dict[str, Any]:
    (document,) = documents(REPOSITORY / "cluster" / "kuberay" / f"{name}.yaml")
    spec: dict[str, Any] = document["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pod specifications of a cluster by group."""
    found = {"head": spec["headGroupSpec"]["template"]["spec"]}
    for group in spec["workerGroupSpecs"]:
        found[group["groupName"]] = group["template"]["spec"]
    return found


def renamings(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every key whose name is Kubernetes's or KubeRay's, with the mapping that it is in."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            if key not in FREE:
                yield from renamings(item)
    elif isinstance(value, list):
        for item in value:
            yield from renamings(item)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_have_all_fields_that_are_required_and_none_that_is_unknown(file: Path) -> None:
    for document in documents(file):
        assert list(problems(document)) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_typo_in_any_field_is_found(file: Path) -> None:
    for document in documents(file):
        # YAML aliases are one object in several mappings: each is to be tried by itself.
        mistaken = unaliased(document)
        tried = list(renamings(mistaken))
        assert len(tried) > 2
        for mapping, key in tried:
            mapping[f"{key}x"] = mapping.pop(key)
            assert any(problems(mistaken)), f"{key} -> {key}x"
            mapping[key] = mapping.pop(f"{key}x")
        assert mistaken == document


def unaliased(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unaliased(item) for key, item in value.items()}
    return [unaliased(item) for item in value] if isinstance(value, list) else copy.copy(value)


@pytest.mark.parametrize("name", WITH_PODS)
def test_all_nodes_run_the_pinned_ray(name: str, ray_version: str) -> None:
    spec = cluster_spec(name)
    assert spec["rayVersion"] == ray_version
    for group, pod in pods(spec).items():
        (container,) = pod["containers"]
        device = "cu128" if group == "gpu" else "cpu"
        assert container["image"].endswith(f"/rnnray:ray{ray_version}-{device}")


@pytest.mark.parametrize("name", WITH_PODS[1:])
def test_a_jobs_cluster_is_a_part_of_the_one_that_stays(name: str) -> None:
    """The files repeat each other, so that each can be applied alone: no change forgets one."""
    spec, whole = cluster_spec(name), cluster_spec("raycluster")
    assert all(group in whole["workerGroupSpecs"] for group in spec.pop("workerGroupSpecs"))
    whole.pop("workerGroupSpecs")
    assert spec == whole


@pytest.mark.parametrize("name", WITH_PODS)
def test_nothing_takes_more_of_a_node_than_it_says(name: str) -> None:
    spec = cluster_spec(name)
    assert spec["enableInTreeAutoscaling"] is True
    containers = [pod["containers"][0] for pod in pods(spec).values()]
    for resources in [item["resources"] for item in [*containers, spec["autoscalerOptions"]]]:
        assert {"cpu", "memory"} <= resources["limits"].keys()
        assert resources["requests"] == resources["limits"]
    for group in spec["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == (group["groupName"] == "gpu")
        assert group["minReplicas"] == 0 < group["maxReplicas"] <= 16


@pytest.mark.parametrize("name", WITH_PODS)
def test_pods_run_without_root_and_privileges(name: str) -> None:
    spec = cluster_spec(name)
    contexts = [spec["autoscalerOptions"]["securityContext"]]
    for pod in pods(spec).values():
        assert pod["securityContext"]["runAsUser"] > 0
        contexts += [container["securityContext"] for container in pod["containers"]]
    for context in contexts:
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"]["type"] == "RuntimeDefault"


@pytest.mark.parametrize("name", WITH_PODS)
def test_nobody_gets_into_a_cluster_without_its_token(name: str) -> None:
    spec = cluster_spec(name)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert spec["headGroupSpec"]["enableIngress"] is False
    for pod in pods(spec).values():
        names = {variable["name"] for variable in pod["containers"][0]["env"]}
        assert not names & {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}  # KubeRay sets them


@pytest.mark.parametrize("name", WITH_PODS)
def test_workers_have_no_rights_on_kubernetes(name: str) -> None:
    for group, pod in pods(cluster_spec(name)).items():
        if group == "head":
            assert pod["serviceAccountName"] == "rnnray-head"
        else:
            assert pod["serviceAccountName"] == "rnnray-worker"
            assert pod["automountServiceAccountToken"] is False


def test_the_head_may_look_at_pods_and_scale_its_cluster_and_nothing_else() -> None:
    role = {d["kind"]: d for d in documents(REPOSITORY / "cluster" / "kuberay" / "access.yaml")}
    assert role["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get", "patch"]},
    ]
    assert [subject["name"] for subject in role["RoleBinding"]["subjects"]] == ["rnnray-head"]


def test_only_the_clusters_own_pods_and_the_operator_may_connect() -> None:
    (policy,) = documents(REPOSITORY / "cluster" / "kuberay" / "network.yaml")
    ray_pods = {"matchLabels": {"ray.io/is-ray-node": "yes"}}  # KubeRay's label of all its pods
    assert policy["spec"]["podSelector"] == ray_pods
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    among_themselves, by_operator = policy["spec"]["ingress"]
    assert among_themselves == {"from": [{"podSelector": ray_pods}]}
    assert by_operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    (operator,) = by_operator["from"]  # both selectors in one item: in that namespace, that pod
    assert operator.keys() == {"namespaceSelector", "podSelector"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_secret_is_in_a_file(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"AKIA[0-9A-Z]{16}|://[^/\s:]+:[^/\s]+@|-----BEGIN", text)
    assert all(document["kind"] != "Secret" for document in documents(file))
    if file.stem in WITH_PODS:
        for pod in pods(cluster_spec(file.stem)).values():
            for variable in pod["containers"][0]["env"]:
                if re.search("KEY|SECRET|TOKEN|PASSWORD", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"]
                    assert "value" not in variable


@pytest.mark.parametrize("name", WITH_PODS)
def test_a_gpu_node_that_is_taken_away_has_its_whole_grace_period_for_a_checkpoint(
    name: str,
) -> None:
    """Ray ends a node by itself, after a time of its own, and the pod with it."""
    from ray._private import ray_constants  # noqa: PLC0415  (seconds)

    drain = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
    assert hasattr(ray_constants, drain)
    graceful = {
        group: pod
        for group, pod in pods(cluster_spec(name)).items()
        if "terminationGracePeriodSeconds" in pod
    }
    assert "gpu" in graceful
    for pod in graceful.values():
        variables = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        grace = pod["terminationGracePeriodSeconds"]
        assert 0.75 * grace <= float(variables[drain]) <= grace - 5


@pytest.mark.parametrize("name", ["train", "tune", "generate"])
def test_a_job_ends_its_cluster_and_goes_on_after_a_failure(name: str) -> None:
    (document,) = documents(REPOSITORY / "cluster" / "kuberay" / f"{name}.yaml")
    assert document["spec"]["shutdownAfterJobFinishes"] is True
    assert document["spec"]["backoffLimit"] >= 1
    assert "--name" in document["spec"]["entrypoint"]  # under which the next try goes on


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")
def test_kustomize_makes_the_whole_cluster() -> None:
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(REPOSITORY / "cluster" / "kuberay")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    made = list(yaml.safe_load_all(rendered))
    assert [problem for document in made for problem in problems(document)] == []
    assert {"Namespace", "NetworkPolicy", "RayCluster", "Role"} <= {d["kind"] for d in made}
