"""What the tests with several processes share: jobs as subprocesses, one trained run."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import costs
import job_server
import pytest
import tiny_chorale
from job_server import Head
from tiny import SOURCE, TINY, RunJob, Trained, run_file
from tiny_chorale import TrainedChorale


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if costs.noted:
        terminalreporter.section("what faults cost")
        for line in costs.noted:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def run_job(ray_cluster: None) -> RunJob:
    """Runs a file of jobs/ in a process of its own, on the tests' Ray cluster."""
    import ray  # noqa: PLC0415

    return partial(run_file, address=ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="session")
def run_here(ray_cluster: None, run_here: RunJob) -> RunJob:
    """Runs a file of jobs/ in this process, on the tests' Ray cluster."""
    return run_here


@pytest.fixture(scope="session")
def head(
    free_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Head]:
    """Another cluster, with a job server that wants a token."""
    with job_server.running(free_ports(4), tmp_path_factory.mktemp("token") / "token") as head:
        yield head


@pytest.fixture(scope="session")
def trained(run_job: RunJob, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One epoch on three workers, through the job file, on `SOURCE` with a damaged record.

    Not to be changed by tests.
    """
    from drawing_files import damaged_shards  # noqa: PLC0415  (imports TensorFlow)

    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tiny.yaml"
    damaged, offset = damaged_shards(SOURCE, folder / "shards")
    config.write_text(json.dumps(TINY | {"data": str(damaged.parent)}))
    ended = run_job(
        "train_sketch",
        *("--config", str(config), "--preset", "notebook", "--workers", "3"),
        *("--on-bad-record", "skip"),
        *("--storage-path", str(folder / "runs"), "--name", "shared"),
        *("--export", str(folder / "exported")),
    )
    assert ended.code == 0, ended.out + ended.err
    return Trained(ended, folder / "runs", config, folder / "exported", damaged, offset)


@pytest.fixture(scope="session")
def trained_chorale(run_here: RunJob, tmp_path_factory: pytest.TempPathFactory) -> TrainedChorale:
    """A tiny composer from two workers, through the job file; not to be changed by tests."""
    folder = tmp_path_factory.mktemp("trained_chorale")
    corpus = tiny_chorale.write_corpus(folder / "corpus")
    config = folder / "tiny.yaml"
    config.write_text(json.dumps(tiny_chorale.TINY | {"data": str(corpus)}))
    ended = run_here(
        "train_chorale",
        *("--config", str(config), "--workers", "2"),
        *("--storage-path", str(folder / "runs"), "--name", "shared"),
    )
    assert ended.code == 0, ended.out + ended.err
    return TrainedChorale(ended, folder / "runs", config, corpus)
