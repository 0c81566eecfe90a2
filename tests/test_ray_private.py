"""What is taken of Ray that is not public: what a Ray without it costs, and if it is needed."""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.autoscaler.sdk
import ray.train
from ray._private import ray_constants, services, state, utils
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from rnnray import ray_private


@pytest.fixture(autouse=True)
def nothing_said_before() -> None:
    """A line is said once a process."""
    ray_private._say_lost.cache_clear()


def lacks(owner: Any, name: str = "") -> Callable[[pytest.MonkeyPatch], None]:
    """A Ray without a module, or without a name in a module or class."""
    if name:
        return lambda patch: patch.delattr(owner, name)
    return lambda patch: patch.setitem(sys.modules, owner, None)


def enter_loopback() -> None:
    with ray_private.on_loopback():
        pass


def enter_kept_free() -> None:
    with ray_private.cpu_kept_free():
        pass


def read_another_list() -> bool:
    return ray_private.reads_checkpoint_list({"checkpoint_results": [{"version": 1}]})


EXECUTION = "ray.train.v2._internal.execution"
RESOURCES = "get_max_resources_from_cluster_config"


@pytest.mark.parametrize(
    ("take_away", "call", "answer", "line"),
    [
        (lacks(utils, "read_ray_address"), ray_private.address_left_here, None, "set RAY_ADDRESS"),
        (lacks(ray_constants, "ENABLE_RAY_CLUSTER"), enter_loopback, None, "Ray may listen on the"),
        (lacks(state.GlobalState, RESOURCES), ray_private.resources_to_come, {}, "are not counted"),
        (lacks(f"{EXECUTION}.context"), ray_private.check_drains, None, "SIGTERM still writes one"),
        (lacks(f"{EXECUTION}.context"), ray_private.node_is_drained, False, ""),
        (lacks("ray.data._internal.cluster_autoscaler"), enter_kept_free, None, "take every CPU"),
        (
            *(lacks(f"{EXECUTION}.callback"), ray_private.failed_starts_leave_nothing),
            *((), "a run may wait forever"),
        ),
        (lambda _: None, read_another_list, False, "all checkpoints are kept"),
    ],
)
def test_another_ray_costs_a_nicety_and_one_line_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    take_away: Callable[[pytest.MonkeyPatch], None],
    call: Callable[[], object],
    answer: object,
    line: str,
) -> None:
    take_away(monkeypatch)
    assert [call(), call()] == [answer, answer]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == bool(line)
    assert all(line in each and ray.__version__ in each for each in said)


def test_no_other_file_takes_such_parts() -> None:
    root = Path(__file__).parents[1]
    private = re.compile(r"\bray\.(\w+\.)*_[a-z]|\bfrom ray(\.\w+)* import .*\b_[a-z]")
    found = [
        file
        for folder in ("rnnray", "jobs", "cluster")
        for file in (root / folder).rglob("*.py")
        if private.search(file.read_text())
    ]
    assert found == [Path(ray_private.__file__)]


def test_this_ray_has_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    ray_private.address_left_here()
    enter_loopback()
    ray_private.check_drains()
    assert ray_private.failed_starts_leave_nothing()
    assert ray_private.reads_checkpoint_list({"checkpoint_results": [{"version": 0}]})
    from ray.train.v2._internal import constants  # noqa: PLC0415

    assert ray_private.CHECKPOINT_LIST == constants.CHECKPOINT_MANAGER_SNAPSHOT_FILENAME
    assert capsys.readouterr().out == ""


def test_ray_takes_loopback_for_the_outer_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "get_node_ip_address", lambda: "192.0.2.1")
    assert services.resolve_ip_for_localhost("127.0.0.1") == "192.0.2.1"


def test_ray_does_not_say_which_cluster_was_left_here() -> None:
    public = {name for module in (ray, ray.util) for name in vars(module) if name[0] != "_"}
    assert {name for name in public if "address" in name} == {"get_node_ip_address"}


def test_ray_does_not_say_what_the_autoscaler_may_add() -> None:
    public = {*vars(ray), *ray.autoscaler.sdk.__all__}
    resources = {name for name in public if "resources" in name}
    assert resources == {"available_resources", "cluster_resources", "request_resources"}


def test_ray_trains_public_notice_waits_for_all_workers() -> None:
    assert "barrier across all workers" in ray.train.get_preemption_info.__doc__


def test_ray_train_cannot_keep_the_best_checkpoint_and_the_last_two() -> None:
    fields = {field.name for field in dataclasses.fields(ray.train.CheckpointConfig)}
    assert fields == {
        "num_to_keep",
        *("checkpoint_score_attribute", "checkpoint_score_order"),
        *("checkpoint_frequency", "checkpoint_at_end"),  # deprecated
    }


def test_ray_train_has_no_option_that_keeps_a_cpu_free() -> None:
    fields = {field.name for field in dataclasses.fields(ray.train.ScalingConfig)}
    assert fields == {
        *("num_workers", "trainer_resources", "resources_per_worker", "placement_strategy"),
        *("use_gpu", "accelerator_type", "use_tpu", "topology", "label_selector"),
        "elastic_resize_monitor_interval_s",
    }


class DiesWhileItStarts(WorkerGroupCallback, ControllerCallback):
    """Ends a worker in the last part of its group's start, and notes what stays reserved."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def after_worker_group_start(self, worker_group: Any) -> None:
        state = worker_group.get_worker_group_state()
        self._group = state.placement_group_handle.placement_group
        worker_group.execute_single(0, os._exit, 1)

    def before_controller_execute_failure_decision(self, failure_decision: Any) -> None:
        self._file.write_text(ray.util.placement_group_table(self._group)["state"])
        ray.util.remove_placement_group(self._group)  # the other tests need the CPU


def placement_group_after_a_failed_start(folder: Path, callbacks: Sequence[Any]) -> str:
    """The state of its placement group after a worker has died while its group started."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    trainer = DataParallelTrainer(
        lambda: None,
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            storage_path=str(folder),
            failure_config=FailureConfig(controller_failure_limit=0),
            callbacks=[DiesWhileItStarts(folder / "state"), *callbacks],
        ),
    )
    with pytest.raises(ray.train.ControllerError, match="failed to initialize"):
        trainer.fit()
    return (folder / "state").read_text()


def test_ray_train_keeps_the_cpus_of_a_group_that_dies_while_it_starts(
    ray_cluster: None, tmp_path: Path
) -> None:
    assert placement_group_after_a_failed_start(tmp_path, ()) == "CREATED"


def test_a_group_that_dies_while_it_starts_keeps_no_cpu_from_the_next_one(
    ray_cluster: None, tmp_path: Path
) -> None:
    callbacks = ray_private.failed_starts_leave_nothing()
    assert placement_group_after_a_failed_start(tmp_path, callbacks) == "REMOVED"
