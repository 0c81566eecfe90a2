"""Storage and data that go away under a run, in real runs; each test prints what was lost."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import costs
import pytest
from faults import Process, end
from object_store import ObjectStore
from observed import wait_until
from tiny import REPOSITORY, TINY, Ended
from toy_faults import Aside, Traced, check_history, train_toy

from rnnray.sketch.data import demo_drawings, sketch_table, tfrecords

pytestmark = pytest.mark.faults

OUTAGE_SECONDS, FULL_SECONDS = 60, 20
Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the training job in a process and on a Ray of its own, with settings for it."""
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(TINY | {"epochs": 3, "global_batch_size": 16}))
    processes: list[Process] = []

    def begin(*arguments: str, settings: Mapping[str, str] = {}) -> Process:
        # A folder of its own, in which Ray finds no other cluster. A path of pytest's is too long.
        environment = os.environ | settings | {"RAY_TMPDIR": ray_files}
        for name in ("TF_CPP_MIN_LOG_LEVEL", "RAY_ADDRESS"):
            environment.pop(name, None)
        processes.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-u", "jobs/train_sketch.py", "--preset", "notebook"),
                    *("--config", str(config), "--workers", "2", "--name", "run", *arguments),
                ],
                cwd=REPOSITORY,
                env=environment,
                stdout=(tmp_path / "out").open("w"),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as ray_files:
        yield begin
        for process in processes:
            process.kill()
            process.wait()


def ended(process: Process, out: Path) -> Ended:
    code = end(process)
    return Ended(code.code, out.read_text(), code.err)


def test_an_outage_of_the_object_store_is_waited_for_and_no_step_is_lost(
    start: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(
        *("--data", "demo:3010", "--storage-path", object_store.uri("training")),
        *("--checkpoint-minutes", "0.01", "--max-failures", "0"),
        settings=object_store,
    )
    wait_until(lambda: "epoch 1/3 done" in out.read_text(), process)
    object_store.stop()
    try:
        time.sleep(OUTAGE_SECONDS)
    finally:
        object_store.start()
        began = time.monotonic()
    wait_until(lambda: "written after" in out.read_text(), process)
    seconds = time.monotonic() - began
    done = ended(process, out)
    assert done.code == 0, done.out + done.err
    assert done.result["epochs"] == 3
    assert re.search(r"s3://tests/training/run: the storage refuses \(.+\), trying again", done.out)
    assert "starting the workers again" not in done.out
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert object_store[name] not in done.out + done.err
    costs.note(f"object store away for {OUTAGE_SECONDS} s", "waits", 0, seconds)
    assert seconds < 90


def write_shards(folder: Path) -> list[Path]:
    """Three TFRecord shards of 1,000 training drawings, and 60 held out."""
    folder.mkdir()
    first = 0
    names = [f"training.tfrecord-{i:05d}-of-00003" for i in range(3)]
    for name, count in [*((name, 1000) for name in names), ("eval.tfrecord-00000-of-00001", 60)]:
        drawings = sketch_table.from_arrays(
            *demo_drawings.inks(count, seed=0, start=first), demo_drawings.CLASS_NAMES
        )
        first += count
        with (folder / name).open("wb") as stream:
            tfrecords.write_table(stream, drawings)
    (folder / "training.tfrecord.classes").write_text("\n".join(demo_drawings.CLASS_NAMES) + "\n")
    return [folder / name for name in names]


def deleted(shard: Path) -> None:
    shard.unlink()


def cut_short(shard: Path) -> None:
    os.truncate(shard, 100_000)


@pytest.mark.parametrize("damage", [deleted, cut_short])
def test_a_file_that_goes_in_mid_epoch_costs_nothing_since_its_drawings_were_read(
    start: Start, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    shard = write_shards(tmp_path / "shards")[1]
    out = tmp_path / "out"
    arguments = ("--data", str(tmp_path / "shards"), "--storage-path", str(tmp_path / "runs"))
    process = start(*arguments)
    wait_until(lambda: "epoch 1/3  step" in out.read_text(), process)
    damage(shard)
    done = ended(process, out)
    assert done.code == 0, done.out + done.err
    assert done.result["epochs"] == 3
    costs.note(f"data file {damage.__name__.replace('_', ' ')}", "goes on", 0, 0)


def test_a_full_disk_is_waited_for_and_no_step_is_lost(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk of one's own can be mounted here")

    def fill() -> None:
        wait_until(lambda: any((disk / "toy").glob("epoch-*-step-*")))
        filler = disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            time.sleep(FULL_SECONDS)
        filler.unlink()

    try:
        with Aside(fill):
            run = train_toy(
                Traced(folder=str(tmp_path)),
                storage_path=str(disk),
                max_failures=0,
                checkpoint_minutes=0.01,
            )
        check_history(run)
        assert run.last.startswith(str(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    out = capsys.readouterr().out
    assert "the storage refuses (No space left on device), trying again" in out
    waited = max(map(int, re.findall(r"written after (\d+) s", out)))
    seconds = max(0, waited - FULL_SECONDS)
    costs.note(f"full disk for {FULL_SECONDS} s", "waits", 0, seconds)
    assert seconds < 90
