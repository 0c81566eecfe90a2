"""Batch generation through jobs/generate_chorales.py, on a Ray cluster, into a local folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from faults import settled
from observed import contents, wait_until
from tiny import REPOSITORY, Ended, RunJob
from tiny_chorale import TrainedChorale, sounds

from rnnray import cluster
from rnnray.chorale.data.corpus import open_corpus

CHORDS = 12
COUNT = 70  # a part and a bit
TEMPERATURES = ("0.8", "1.5")

Generate = Callable[..., Ended]


def arguments(trained: TrainedChorale, output: Path) -> tuple[str, ...]:
    return (
        *("--checkpoint", str(trained.checkpoint), "--data", str(trained.corpus)),
        *("--temperatures", *TEMPERATURES, "--count", str(COUNT), "--chords", str(CHORDS)),
        *("--formats", "wav", "mid", "--instrument", "sine", "--tempo", "200"),
        *("--output", str(output), "--name", "run-1"),
    )


@pytest.fixture
def generate(run_here: RunJob, trained_chorale: TrainedChorale, tmp_path: Path) -> Generate:
    """Runs the job in this process; later arguments win over the usual ones."""

    def run(*more: str, output: Path = tmp_path) -> Ended:
        return run_here("generate_chorales", *arguments(trained_chorale, output), *more)

    return run


@pytest.fixture(scope="session")
def unbroken(
    run_job: RunJob, trained_chorale: TrainedChorale, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Ended]:
    """A run all at once, and how it ended; not to be changed."""
    output = tmp_path_factory.mktemp("unbroken")
    ended = run_job("generate_chorales", *arguments(trained_chorale, output), timeout=300)
    assert ended.code == 0, ended.err
    return output / "run-1", ended


def test_a_run_is_complete_and_says_so(
    unbroken: tuple[Path, Ended], trained_chorale: TrainedChorale
) -> None:
    folder, ended = unbroken
    assert ended.err == ""
    result = ended.result
    assert result["complete"]
    assert (result["output"], result["page"]) == (str(folder), str(folder / "index.html"))
    assert (result["written"], result["found"]) == (2 * COUNT, 0)
    assert result["chorales_per_second"] > 0
    assert 0 < result["seconds"]["first"] <= result["seconds"]["pieces"]
    assert all(result["seconds"][stage] > 0 for stage in ("compose", "render", "upload"))

    written = contents(folder)
    chorales = {f"temperature={t}/{index:06d}" for t in TEMPERATURES for index in range(COUNT)}
    # The corpus' test split has three pieces, all of them long enough.
    excerpts = {f"bach/{index:04d}" for index in range(3)}
    files = {f"{base}.{suffix}" for base in chorales | excerpts for suffix in ("wav", "mid")}
    assert files <= set(written)
    assert {"run.yaml", "index.html", "summary.json"} <= set(written)
    assert "lock.json" not in written
    assert not [key for key in written if key.endswith(".part")]
    summary = json.loads(written["summary.json"])
    assert set(summary["temperatures"]) == set(TEMPERATURES)
    assert summary["files"] == len(files)

    test = [row for row in open_corpus(str(trained_chorale.corpus)).to_pylist()
            if row["split"] == "test"]  # fmt: skip
    for index, piece in enumerate(test):
        heard = sounds(folder / "bach" / f"{index:04d}.mid", CHORDS).tolist()
        assert heard == piece["chords"][:CHORDS], "not Bach's own notes"


def test_the_manifest_is_what_the_files_sound_like(unbroken: tuple[Path, Ended]) -> None:
    folder, _ = unbroken
    rows = pq.read_table(folder / "manifest").to_pylist()
    assert len(rows) == 2 * COUNT
    assert len({tuple(row["chords"]) for row in rows}) > COUNT, "the same chorales again and again"
    for row in rows[:: COUNT // 5]:
        midi = folder / row["files"][1]["key"]
        assert sounds(midi, CHORDS).reshape(-1).tolist() == row["chords"]
        with wave.open(str(midi.with_suffix(".wav"))) as sound:
            assert sound.getnframes() == round(CHORDS * 15 / 200 * 44100) + 2 * 44100


def test_a_complete_run_is_left_alone(
    generate: Generate, unbroken: tuple[Path, Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = unbroken
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr("ray.data.from_items", None)  # nothing is to be computed
    ended = generate(output=folder.parent)
    assert ended.code == 0, ended.err
    assert "complete" in ended.out
    assert (ended.result["written"], ended.result["found"]) == (0, 2 * COUNT)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_that_another_one_ended_meanwhile_is_left_alone(
    generate: Generate,
    unbroken: tuple[Path, Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two runs start at once, and one of them waits longer for the cluster."""
    folder, _ = unbroken
    connect = cluster.connect

    def slowly(**options: bool) -> None:
        shutil.copytree(folder, tmp_path / "run-1", dirs_exist_ok=True)
        connect(**options)

    monkeypatch.setattr(cluster, "connect", slowly)
    assert "seed (0 there, 1 now)" in generate("--seed", "1").failed_with()
    shutil.rmtree(tmp_path / "run-1")
    ended = generate()
    assert ended.code == 0, ended.err
    assert (ended.result["written"], ended.result["found"]) == (0, 2 * COUNT)
    assert contents(tmp_path / "run-1") == contents(folder)


def test_a_run_that_was_killed_goes_on_and_ends_as_an_unbroken_one(
    generate: Generate,
    unbroken: tuple[Path, Ended],
    trained_chorale: TrainedChorale,
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "jobs/generate_chorales.py", *arguments(trained_chorale, tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        stdout=subprocess.DEVNULL,
    )
    folder = tmp_path / "run-1"
    wait_until(lambda: len(list(folder.glob("temperature=*/*.mid"))) >= 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "lock.json").exists()
    assert not (folder / "summary.json").exists()
    # Its last tasks end a moment after it.
    there = settled(
        lambda: {path: path.stat().st_mtime_ns for path in folder.glob("temperature=*/*.[mw]*")}
    )

    ended = generate()
    assert ended.code == 0, ended.err
    assert contents(folder) == contents(unbroken[0])
    assert {path: path.stat().st_mtime_ns for path in there} == there, "written once more"
    result = ended.result
    assert result["written"] < result["written"] + result["found"] == 2 * COUNT


@pytest.mark.faults
def test_a_run_survives_the_death_of_a_sampler(
    generate: Generate, unbroken: tuple[Path, Ended], tmp_path: Path
) -> None:
    killed: list[int] = []
    composed: list[int] = []

    def stored() -> int:
        return len(list(tmp_path.glob("run-1/temperature=*/*.mid")))

    def kill() -> None:
        # The first chorales are composed; those that store them may still be starting.
        wait_until(lambda: stored() > 0 or bool(_workers("MapBatches(render)")))
        killed.extend(_workers("MapWorker(MapBatches(Compose"))
        for pid in killed:
            os.kill(pid, signal.SIGSTOP)
        # What it composed before is stored; what is missing then, it had still to compose.
        composed.append(settled(stored))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    # Many parts, so that some are not composed yet.
    ended = generate("--count", str(8 * COUNT), "--formats", "mid")
    killer.join()
    assert killed
    assert composed[0] < 2 * 8 * COUNT, "it had no work left"
    assert ended.code == 0, ended.err
    assert ended.result["written"] == 2 * 8 * COUNT
    whole, again = contents(unbroken[0]), contents(tmp_path / "run-1")
    same = [key for key in whole if key.endswith(".mid")]
    assert {key for key in same if whole[key] != again[key]} == set()


def test_starting_over_replaces_what_was_there(
    generate: Generate, unbroken: tuple[Path, Ended], tmp_path: Path
) -> None:
    first = contents(shutil.copytree(unbroken[0], tmp_path / "run-1"))
    other = ("--seed", "1", "--count", "2", "--formats", "mid")
    assert "seed (0 there, 1 now)" in generate("--seed", "1").failed_with()
    assert contents(tmp_path / "run-1") == first
    (tmp_path / "run-1" / "run.yaml").write_bytes(b"")
    assert "damaged; start over with --overwrite" in generate(*other).failed_with()
    ended = generate(*other, "--overwrite")
    assert ended.code == 0, ended.err
    second = contents(tmp_path / "run-1")
    assert "temperature=0.8/000001.mid" in second
    assert not {"temperature=0.8/000002.mid", "temperature=0.8/000001.wav"} & set(second)
    assert second["temperature=0.8/000001.mid"] != first["temperature=0.8/000001.mid"]


def test_a_folder_of_something_else_is_left_alone(generate: Generate, tmp_path: Path) -> None:
    file = tmp_path / "run-1" / "thesis.doc"
    file.parent.mkdir()
    file.write_text("mine")
    for more in ((), ("--overwrite",), ("--dry-run",)):
        assert "belongs to something else" in generate(*more).failed_with()
    assert list((tmp_path / "run-1").iterdir()) == [file]


def _workers(title: str) -> list[int]:
    """Processes of this test's Ray cluster with such a title."""
    parents = {}
    titles = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
            titles[int(status.parent.name)] = (status.parent / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        parents[int(status.parent.name)] = int(text.rpartition(")")[2].split()[1])

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [pid for pid, text in titles.items() if title in text and is_ours(pid)]
