"""cluster/local/soak.py: what it takes for a failure. The soak itself takes 15 minutes."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "cluster" / "local"))
import soak
from placement import Refused, start_time

SOAK_SECONDS = 900.0


def process(mib: Sequence[float], *, of_the_soak: float = 1.0, title: str = "trainer") -> Any:
    """A process with evenly spread samples over a part of the soak."""
    step = SOAK_SECONDS * of_the_soak / (len(mib) - 1)
    return soak.Process(title, [step * number for number in range(len(mib))], list(mib))


@dataclass
class FakeCluster:
    """A node whose processes are given, and commands that are run as they are."""

    pids: Callable[[], set[int]] = set
    words: Sequence[str] = ("true",)
    nodes: tuple[str, ...] = ("head",)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def placement(self) -> "FakeCluster":
        return self

    def processes(self, node: str) -> set[int]:
        assert node == "head"
        return self.pids()

    def command(self, words: list[str]) -> tuple[list[str], dict[str, str]]:
        assert words[:3] == ["ray", "job", "submit"]
        return list(self.words), self.environment


def runs(cluster: FakeCluster, lost: Callable[[dict[str, Any]], str] = lambda _: "") -> Any:
    """Runs of a kind, of which the first is the last."""

    def job(name: str) -> str:
        kind._until = 0.0
        return f"jobs/{name}"

    kind = soak.Runs("train", cluster, job, lost, math.inf)
    kind.run()
    return kind


def watched(**seen: Any) -> Any:
    """A watch that has ended, and what it saw."""
    watch = soak.Watch(FakeCluster(), [])
    watch.seconds = SOAK_SECONDS
    watch.seen = {(number, title): one for number, (title, one) in enumerate(seen.items())}
    return watch


@pytest.mark.parametrize(
    "mib",
    [
        [200.0 + 40 * number for number in range(10)],
        [1000.0] * 6 + [1300.0] * 4,  # a step, late
        [50.0] * 9 + [160.0],
    ],
)
def test_a_process_that_grows_on_and_on_is_named(mib: list[float]) -> None:
    (line,) = soak.grown([process(mib), process([300.0] * 10, title="raylet")], SOAK_SECONDS)
    assert line.startswith("memory: trainer grew from ")
    assert f"to {mib[-1]:.0f} MiB" in line


@pytest.mark.parametrize(
    ("mib", "of_the_soak"),
    [
        ([100.0, 900.0, 1000.0, 1000.0, 1000.0], 1.0),  # it grew into its work, and then no more
        ([100.0, 100.0, 100.0, 150.0, 190.0], 1.0),  # less than 100 MiB
        ([2000.0, 2000.0, 2000.0, 2200.0, 2390.0], 1.0),  # less than 20 %
        ([100.0, 200.0, 400.0, 800.0, 1600.0], 0.5),  # a run's own worker, which comes and goes
        ([1000.0, 1500.0, 1000.0, 1500.0, 1000.0], 1.0),
    ],
)
def test_what_is_no_growth_without_end_passes(mib: list[float], of_the_soak: float) -> None:
    assert soak.grown([process(mib, of_the_soak=of_the_soak)], SOAK_SECONDS) == []


def test_the_middle_of_a_life_is_one_of_time_not_of_samples() -> None:
    """A machine under load samples late: most samples may be of the first minutes."""
    uneven = soak.Process("trainer", [0, 1, 2, 3, 4, 450, 900], [10, 20, 30, 40, 50, 500, 700])
    assert uneven.growth() == 200


def test_the_table_has_a_row_for_each_kind_of_process_the_largest_first() -> None:
    seen = [
        process([100.0, 300.0, 350.0], title="raylet"),
        process([900.0, 1000.0, 1010.0], title="trainer", of_the_soak=0.1),
        process([700.0, 1200.0, 800.0], title="trainer", of_the_soak=0.2),
    ]
    assert soak.table(seen) == [
        {
            "process": "trainer",
            "count": 2,
            "longest_seconds": 180,
            "most_mib": 1200,
            "growth_mib": 10,
        },
        {
            "process": "raylet",
            "count": 1,
            "longest_seconds": 900,
            "most_mib": 350,
            "growth_mib": 50,
        },
    ]


def test_a_soak_in_which_all_went_well_has_no_failure() -> None:
    kind = runs(FakeCluster())
    assert kind.ended >= 1
    assert soak.failures([kind], watched(raylet=process([300.0] * 9))) == []


def test_a_run_that_failed_or_left_less_than_it_should_is_a_failure() -> None:
    failed, less = runs(FakeCluster(words=["false"])), runs(FakeCluster(), lambda _: "2 trials")
    found = soak.failures([failed, less], watched(raylet=process([300.0] * 9)))
    assert {"train-0: exit code 1", "train-0: 2 trials"} <= set(found)


def test_a_run_without_the_result_that_it_should_print_is_a_failure() -> None:
    kind = runs(FakeCluster(), lambda result: str(result["last_checkpoint"]))
    found = soak.failures([kind], watched(raylet=process([300.0] * 9)))
    assert found == ["train: KeyError: 'last_checkpoint'", "train: no run ended"]


def test_a_kind_that_ended_no_run_is_a_failure() -> None:
    kind = soak.Runs("sweep", FakeCluster(), str, str, until=0.0)
    kind.run()
    found = soak.failures([kind], watched(raylet=process([300.0] * 9)))
    assert found == ["sweep: no run ended"]


def test_a_run_that_never_ends_is_ended_and_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "_RUN_SECONDS", 0.2)
    (failure,) = runs(FakeCluster(words=["sleep", "60"])).failures
    assert failure.startswith("train: Refused: no end after ")


def test_a_soak_that_nobody_watched_is_a_failure() -> None:
    assert soak.failures([runs(FakeCluster())], watched()) == ["watch: no process was seen"]

    def processes() -> set[int]:
        raise Refused("ip netns list: no more")

    watch = soak.Watch(FakeCluster(pids=processes), [])
    watch._over.wait = lambda _: False
    watch.run()
    assert watch.failures == ["watch: Refused: ip netns list: no more"]


def test_the_watch_knows_processes_by_number_and_start_and_says_how_far_the_soak_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(soak, "_SAMPLE_SECONDS", 0.02)
    monkeypatch.setattr(soak, "_PROGRESS_SECONDS", 0.05)
    with subprocess.Popen(["sleep", "60"]) as other:
        pids = {os.getpid(), other.pid}
        watch = soak.Watch(FakeCluster(pids=lambda: pids), [runs(FakeCluster())])
        watch.start()
        time.sleep(0.5)
        keys = {(pid, start_time(pid)) for pid in pids}
        watch.stop()
        other.kill()
    assert watch.seen.keys() == keys
    here = watch.seen[os.getpid(), start_time(os.getpid())]
    assert here.mib[-1] > 10
    assert here.lived() > 0
    assert " 2 processes, " in capsys.readouterr().out
    assert watch.failures == []
