"""cluster.yaml: what `ray up` would do on AWS, as far as it can be seen without paying for it."""

import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.validate import ParamValidator
from jsonschema import ValidationError

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "cluster.yaml").read_text()


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """The file as Ray completes it with its defaults for AWS; raises where its schema is broken."""
    from ray.autoscaler._private.util import (  # noqa: PLC0415  (seconds)
        prepare_config,
        validate_config,
    )

    complete: dict[str, Any] = prepare_config(config)
    validate_config(complete)
    return complete


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return prepared(yaml.safe_load(TEXT))


def node_types(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    types: dict[str, dict[str, Any]] = config["available_node_types"]
    return types


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("idle_timeout_minutes:", "idle_timeout_minute:"),
        ("worker_image:", "workers_image:"),
        ("  gpu_spot:\n", "  gpu_spot:\n    max_worker: 8\n"),
        ("ssh_user:", "user:"),
        ("head_node_type: head", "head_node_type: tail"),
        ("    max_workers: 8\n", "    max_workers: 8.5\n"),
    ],
)
def test_ray_itself_finds_typos_in_the_file(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises((ValidationError, AssertionError, ValueError)):
        prepared(yaml.safe_load(TEXT.replace(old, new, 1)))


def test_ec2_knows_every_field_of_the_nodes(config: dict[str, Any]) -> None:
    """By botocore's own description of the call that starts machines; Ray's schema has no view."""
    client = boto3.client(
        "ec2", region_name="us-west-2", aws_access_key_id="none", aws_secret_access_key="none"
    )
    call = client.meta.service_model.operation_model("RunInstances").input_shape
    for node_type in node_types(config).values():
        node = {**node_type["node_config"], "MinCount": 1, "MaxCount": 1}
        assert ParamValidator().validate(node, call).generate_report() == ""
        node["MetadataOptions"] = {"HttpToken": "required"}
        assert "Unknown parameter" in ParamValidator().validate(node, call).generate_report()


def test_it_is_a_cluster_of_a_cpu_head_and_gpu_workers_from_zero(config: dict[str, Any]) -> None:
    types = node_types(config)
    assert config["provider"]["type"] == "aws"
    assert config["head_node_type"] == "head"
    assert types["head"]["node_config"]["InstanceType"].startswith("m")
    for name in ("gpu_spot", "gpu_on_demand"):
        assert types[name]["min_workers"] == 0
        assert types[name]["node_config"]["InstanceType"].startswith("g")
    assert "InstanceMarketOptions" in types["gpu_spot"]["node_config"]
    assert "InstanceMarketOptions" not in types["gpu_on_demand"]["node_config"]
    assert types["gpu_spot"]["priority"] > types["gpu_on_demand"]["priority"]


def test_spot_and_on_demand_workers_are_the_same_machine(config: dict[str, Any]) -> None:
    spot, on_demand = (
        node_types(config)[name]["node_config"] for name in ("gpu_spot", "gpu_on_demand")
    )
    assert {**on_demand, "InstanceMarketOptions": {"MarketType": "spot"}} == spot


def test_what_it_may_cost_is_bounded(config: dict[str, Any]) -> None:
    assert 0 < config["max_workers"] <= 8
    assert all(t["max_workers"] <= config["max_workers"] for t in node_types(config).values())
    assert 0 < config["idle_timeout_minutes"] <= 15
    assert config["provider"]["cache_stopped_nodes"] is False


def test_every_node_has_the_pinned_ray_and_the_pinned_packages(
    config: dict[str, Any], ray_version: str
) -> None:
    image = f"rayproject/ray:{ray_version}-py311"
    assert config["docker"]["head_image"] == f"{image}-cpu"
    assert config["docker"]["worker_image"] == f"{image}-cu128"
    install = "pip install --quiet --constraint /home/ray/rnnray/constraints.txt --editable"
    assert config["setup_commands"] == []
    assert config["head_setup_commands"] == [f"{install} /home/ray/rnnray"]
    assert config["worker_setup_commands"] == [f"{install} '/home/ray/rnnray[gpu]'"]


def test_the_project_is_copied_without_what_git_ignores(config: dict[str, Any]) -> None:
    assert config["file_mounts"]["/home/ray/rnnray"] == "."
    assert ".gitignore" in config["rsync_filter"]
    assert "**/.git" in config["rsync_exclude"]


def test_nobody_gets_in_without_the_token(config: dict[str, Any]) -> None:
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    # Nothing after that may take the mode back, for a type of nodes or in a command.
    assert TEXT.count("RAY_AUTH_MODE=") == 2  # the other one is the user's, in the first comment


def test_the_dashboard_is_reached_through_ssh_alone(config: dict[str, Any]) -> None:
    (start,) = [line for line in config["head_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in start.split()
    assert "security_group" not in config["provider"]  # which could only open more ports


def test_workers_join_the_head(config: dict[str, Any]) -> None:
    (head,) = [line for line in config["head_start_ray_commands"] if "ray start" in line]
    (worker,) = [line for line in config["worker_start_ray_commands"] if "ray start" in line]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head.split()
    assert "--port=6379" in head.split()
    assert "--address=$RAY_HEAD_IP:6379" in worker.split()


def test_a_worker_hears_that_its_spot_machine_is_taken_back(config: dict[str, Any]) -> None:
    """Ray does not ask, and without it up to a whole checkpoint interval is done again."""
    *_, start, watch = config["worker_start_ray_commands"]
    assert "ray start" in start
    (script,) = [Path(word) for word in watch.split() if word.endswith(".py")]
    project = Path("/home/ray/rnnray")
    assert config["file_mounts"][str(project)] == "."
    assert (REPOSITORY / script.relative_to(project)).is_file()
    # As Ray runs it: in parentheses, and the shell ends at once.
    assert watch.endswith("&")
    subprocess.run(["bash", "-n", "-c", f"({watch})"], check=True)
    assert not any("spot_notice" in line for line in config["head_start_ray_commands"])


def test_storage_is_reached_by_roles_and_no_credential_is_in_the_file(
    config: dict[str, Any],
) -> None:
    profiles = {
        name: node_type["node_config"]["IamInstanceProfile"]["Name"]
        for name, node_type in node_types(config).items()
    }
    assert profiles.pop("head") == "rnnray-head"
    assert set(profiles.values()) == {"rnnray-worker"}  # which may not start machines
    assert "aws_credentials" not in config["provider"]
    assert not re.search(r"AKIA|AWS_(ACCESS|SECRET|SESSION)|RAY_AUTH_TOKEN", TEXT)


def test_disks_are_encrypted_and_roles_are_kept_from_others(config: dict[str, Any]) -> None:
    for node_type in node_types(config).values():
        node = node_type["node_config"]
        assert all(disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"])
        assert all(disk["Ebs"]["DeleteOnTermination"] for disk in node["BlockDeviceMappings"])
        assert node["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_no_node_gets_rays_own_ubuntu_18_image(config: dict[str, Any]) -> None:
    for node_type in node_types(config).values():
        assert node_type["node_config"]["ImageId"].startswith("resolve:ssm:/aws/service/")
