"""Training on several real nodes while workers, nodes, the network, drivers and the head fail.

What each fault cost is told when all have run: steps done again, and seconds to recover.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import costs
import pytest
from nodes import Nodes, TrainingJob, back_at_work, nodes_up, note_fault

pytestmark = pytest.mark.faults

CUT_SECONDS = 60.0
GRACE_SECONDS = 30.0  # the shortest that clouds and Kubernetes give by default
StartJob = Callable[..., TrainingJob]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head that reads, and two nodes that train."""
    with nodes_up(workers=2) as nodes:
        yield nodes


@pytest.fixture
def nodes(cluster: Nodes) -> Nodes:
    cluster.all_alive()
    return cluster


@pytest.fixture
def start(nodes: Nodes, tmp_path: Path) -> Iterator[StartJob]:
    """Starts the job, or submits it again."""
    jobs = []

    def begin(workers: str, *, submit: bool = False) -> TrainingJob:
        jobs.append(TrainingJob(nodes, tmp_path, workers, submit=submit))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.stop()


def trainer(nodes: Nodes) -> tuple[str, int]:
    """A node that trains, and the process that does; not the head, where the driver is."""
    for node in ("node2", "node1"):
        if found := nodes.trainers(node):
            return node, found[0]
    raise AssertionError("nobody trains on the nodes")


def test_a_killed_training_worker_costs_one_checkpoint_interval_at_most(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("2")
    job.wait_until_at_work()
    _, pid = trainer(nodes)
    fault = note_fault(job, "worker killed")
    os.kill(pid, signal.SIGKILL)
    back_at_work(job, fault)
    job.result()


def test_an_elastic_run_goes_on_without_the_node_that_died(nodes: Nodes, start: StartJob) -> None:
    job = start("1:2")
    job.wait_for(r"training on 2 worker", seconds=200)
    job.wait_until_at_work()
    node, _ = trainer(nodes)
    fault = note_fault(job, "node killed, --workers 1:2")
    nodes("kill", node)
    back_at_work(job, fault)
    job.wait_for(r"training on 1 worker", since=fault.at)
    job.result()


def test_a_run_of_fixed_size_says_that_it_waits_and_goes_on_when_the_node_is_back(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("2")
    job.wait_until_at_work()
    node, _ = trainer(nodes)
    fault = note_fault(job, "node killed and back, --workers 2")
    nodes("kill", node)
    job.wait_for(r"waiting for .*: the cluster has 2 CPUs", since=fault.at, seconds=60)
    back = time.monotonic()
    nodes("start", node)
    back_at_work(job, fault, since=back)
    job.result()


def test_an_elastic_run_goes_on_without_a_node_that_is_cut_off_for_a_minute(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("1:2")
    job.wait_until_at_work()
    node, _ = trainer(nodes)
    fault = note_fault(job, "node cut off for 60 s, --workers 1:2")
    nodes("cut", node)
    back_at_work(job, fault)
    time.sleep(max(0.0, fault.at + CUT_SECONDS - time.monotonic()))
    nodes("heal", node)
    job.result()
    assert nodes.states()[node] == "alive"


def test_a_run_of_fixed_size_says_that_it_waits_for_a_node_that_is_cut_off_and_goes_on(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("2")
    job.wait_until_at_work()
    node, _ = trainer(nodes)
    fault = note_fault(job, "node cut off for 60 s, --workers 2")
    nodes("cut", node)
    # If none of the rows lay there, the other two nodes have room for both workers at once.
    _, said = job.wait_for(
        r"waiting for .*: the cluster has 2 CPUs|resumed in epoch", since=fault.at
    )
    if said[0].startswith("resumed"):
        back_at_work(job, fault)
        job.result()
    time.sleep(max(0.0, fault.at + CUT_SECONDS - time.monotonic()))
    back = time.monotonic()
    nodes("heal", node)
    if said[0].startswith("waiting"):
        back_at_work(job, fault, since=back)
        job.result()


def test_a_worker_that_is_told_to_leave_stores_a_checkpoint_before_it_must_go(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("2")
    job.wait_until_at_work()
    _, pid = trainer(nodes)
    fault = note_fault(job, "notice (SIGTERM)")
    os.kill(pid, signal.SIGTERM)
    job.wait_for(r"worker \d was told to leave", since=fault.at, seconds=GRACE_SECONDS)
    while job.checkpoints().keys() <= fault.checkpoints.keys():
        assert time.monotonic() < fault.at + GRACE_SECONDS
        time.sleep(0.1)
    stored = time.monotonic() - fault.at
    lost, _ = back_at_work(job, fault)
    costs.note(fault.name, f"a checkpoint is there after {stored:.0f} s", 0, 0)
    assert lost == 0
    job.result()


def test_a_worker_that_is_slowed_down_is_named_with_its_node(nodes: Nodes, start: StartJob) -> None:
    job = start("2")
    job.wait_until_at_work()
    node, pid = trainer(nodes)
    began = time.monotonic()
    over = threading.Event()

    def slow_down() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.18)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)

    with ThreadPoolExecutor() as threads:
        slowing = threads.submit(slow_down)
        try:
            address = re.escape(nodes.address(node))
            moment, told = job.wait_for(rf"worker \d on {address} takes (\d+) times", since=began)
        finally:
            over.set()
        slowing.result()
    costs.note("straggler", f"{told[0]}, said after {moment - began:.0f} s", 0, 0)
    job.result()


def test_a_job_whose_driver_was_killed_goes_on_when_submitted_again(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("2", submit=True)
    job.wait_until_at_work()
    fault = note_fault(job, "driver killed")
    job.kill_driver()
    assert job.process.returncode == 1
    job = start("2", submit=True)
    back_at_work(job, fault)
    job.result()


def test_a_job_goes_on_when_submitted_again_to_a_head_that_restarted(
    nodes: Nodes, start: StartJob
) -> None:
    job = start("2", submit=True)
    job.wait_until_at_work()
    fault = note_fault(job, "head restarted")
    nodes("kill", "head")
    job.process.wait(timeout=60)
    nodes("start", "head", "node1", "node2")
    job = start("2", submit=True)
    back_at_work(job, fault)
    job.result()
