"""Bad input through the files of jobs/: one line that says what is wrong, and no traceback."""

import shutil
from pathlib import Path

import pytest
import yaml
from tiny import HELD_OUT, SOURCE, TINY, Ended, RunJob, Trained

from rnnray.sketch.data import demo, sketch_table, tfrecords


def copied(trained: Trained, folder: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(trained.checkpoint, folder / "checkpoint"))


def test_no_such_data(run_job: RunJob, tmp_path: Path) -> None:
    ended = run_job("train_sketch", "--data", str(tmp_path / "nowhere"), timeout=60)
    assert ended.failed_with() == f"error: {tmp_path}/nowhere: no such file or folder"
    assert ended.out == ""


def test_verbose_adds_the_traceback(run_here: RunJob, tmp_path: Path) -> None:
    ended = run_here("train_sketch", "--data", str(tmp_path / "nowhere"), "--verbose")
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].endswith("no such file or folder")


@pytest.mark.parametrize("job", ["train_sketch", "evaluate_sketch", "classify_sketches"])
def test_an_empty_folder_of_data(
    run_here: RunJob, trained: Trained, tmp_path: Path, job: str
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = {
        "train_sketch": [],
        "evaluate_sketch": ["--checkpoint", str(trained.checkpoint)],
        "classify_sketches": [
            *("--checkpoint", str(trained.checkpoint)),
            *("--output", str(tmp_path / "out.parquet")),
        ],
    }[job]
    ended = run_here(job, "--data", str(tmp_path / "empty"), *arguments)
    assert ended.failed_with() == f"error: {tmp_path}/empty: the folder has no files"


@pytest.mark.parametrize("job", ["evaluate_sketch", "classify_sketches"])
def test_a_checkpoint_folder_that_is_none(run_here: RunJob, tmp_path: Path, job: str) -> None:
    output = ["--output", str(tmp_path / "out.parquet")] if job == "classify_sketches" else []
    for folder in (tmp_path, tmp_path / "nowhere"):
        ended = run_here(job, "--checkpoint", str(folder), "--data", "demo:100", *output)
        line = ended.failed_with()
        assert line.startswith(f"error: {folder}: not a checkpoint of the sketch classifier")


def test_a_checkpoint_whose_model_was_cut_off(
    run_job: RunJob, trained: Trained, tmp_path: Path
) -> None:
    model = copied(trained, tmp_path) / "model.keras"
    model.write_bytes(model.read_bytes()[:5000])
    ended = run_job("evaluate_sketch", "--checkpoint", str(model.parent), "--data", SOURCE)
    assert ended.failed_with().startswith(f"error: {model}: cannot be loaded")


def test_a_class_list_that_is_not_the_checkpoint_s(
    run_here: RunJob, trained: Trained, tmp_path: Path
) -> None:
    classes = copied(trained, tmp_path) / "classes.txt"
    names = classes.read_text().splitlines()
    classes.write_text("\n".join([*names[:-1], "unicorn"]) + "\n")
    ended = run_here("evaluate_sketch", "--checkpoint", str(classes.parent), "--data", SOURCE)
    line = ended.failed_with()
    assert f"the first difference is class {len(names) - 1}" in line
    assert f"{names[-1]!r} and 'unicorn'" in line


def test_a_checkpoint_s_configuration_that_is_no_yaml(
    run_here: RunJob, trained: Trained, tmp_path: Path
) -> None:
    config = copied(trained, tmp_path) / "config.yaml"
    config.write_text("model: [")
    ended = run_here("evaluate_sketch", "--checkpoint", str(config.parent), "--data", SOURCE)
    assert ended.failed_with().startswith(f"error: {config}: not the sketch classifier's")


def test_storage_that_cannot_be_written_is_found_before_training(
    run_here: RunJob, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = run_here(
        "train_sketch", "--data", "demo:100", "--storage-path", str(tmp_path / "file/runs")
    )
    assert "cannot be written" in ended.failed_with()
    assert "training /" not in ended.out


def test_an_output_that_cannot_be_written_is_found_before_classifying(
    run_here: RunJob, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = run_here(
        "classify_sketches",
        *("--checkpoint", str(trained.checkpoint), "--data", SOURCE),
        *("--output", str(tmp_path / "file/out.parquet")),
    )
    assert "cannot be written" in ended.failed_with()


def test_more_workers_than_the_cluster_can_ever_give(run_here: RunJob, tmp_path: Path) -> None:
    options = ["--data", "demo:100", "--storage-path", str(tmp_path)]
    ended = run_here("train_sketch", *options, "--workers", "64")
    line = ended.failed_with()
    assert line.startswith(
        "error: 64 workers with a CPU each cannot start: this cluster has 4 CPUs"
    )
    ended = run_here("train_sketch", *options, "--workers", "2", "--cpus-per-worker", "3")
    assert "2 workers with 3 CPUs each cannot start" in ended.failed_with()
    ended = run_here("train_sketch", *options, "--workers", "2", "--gpu")
    assert "2 workers with a GPU each cannot start" in ended.failed_with()


def test_more_workers_than_rows_in_a_batch(run_here: RunJob, tmp_path: Path) -> None:
    ended = run_here(
        "train_sketch",
        *("--data", "demo:100", "--storage-path", str(tmp_path)),
        *("--workers", "3", "--global-batch-size", "2"),
    )
    assert "3 workers cannot share a global batch of 2" in ended.failed_with()


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("train_sketch", ["--epochs", "0"]),
        ("train_sketch", ["--no-such-option", "1"]),
        ("train_sketch", ["--model.filters", "8", "8"]),
        ("train_sketch", ["--name", "../elsewhere"]),
        ("train_sketch", ["--gpu", "--no-gpu"]),
        ("evaluate_sketch", ["--data", "demo"]),
        ("evaluate_sketch", ["--checkpoint", "x", "--data", "demo", "--split", "half"]),
        ("classify_sketches", ["--checkpoint", "x", "--data", "demo"]),
    ],
)
def test_wrong_use_is_exit_code_2(run_here: RunJob, job: str, arguments: list[str]) -> None:
    ended = run_here(job, *arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "cannot be read as YAML"),
        ("{model: {unit: 8}}", "model.unit: Extra inputs are not permitted"),
        ("{epoch: 8}", "epoch: Extra inputs are not permitted"),
    ],
)
def test_a_bad_configuration_file(
    run_here: RunJob, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    line = run_here("train_sketch", "--config", str(file)).failed_with()
    assert line.startswith(f"error: {file}: ")
    assert message in line


def damaged_shards(folder: Path) -> tuple[Path, int]:
    """TFRecords of 603 training drawings, one of which has a flipped byte: its file and offset."""
    folder.mkdir()
    start = 0
    for name, count in [
        ("training.tfrecord-00000-of-00002", 302),
        ("training.tfrecord-00001-of-00002", 301),
        ("eval.tfrecord-00000-of-00002", HELD_OUT),
        ("eval.tfrecord-00001-of-00002", 60),
    ]:
        rows = sketch_table.from_arrays(*demo.inks(count, seed=0, start=start), demo.CLASS_NAMES)
        start += count
        with (folder / name).open("wb") as stream:
            tfrecords.write_table(stream, rows)
    (folder / "training.tfrecord.classes").write_text("\n".join(demo.CLASS_NAMES) + "\n")
    damaged = folder / "training.tfrecord-00001-of-00002"
    content = bytearray(damaged.read_bytes())
    offset = 0
    for _ in range(150):  # a record is its length (8 bytes), 8 bytes of checksums and the payload
        offset += 16 + int.from_bytes(content[offset : offset + 8], "little")
    content[offset + 40] ^= 1
    damaged.write_bytes(content)
    return damaged, offset


def damaged_run(run_here: RunJob, folder: Path, workers: int, *arguments: str) -> Ended:
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    return run_here(
        "train_sketch",
        *("--data", str(folder / "shards"), "--config", str(config), "--preset", "notebook"),
        *("--storage-path", str(folder / "runs"), "--workers", str(workers), *arguments),
    )


def test_a_damaged_record_ends_training_on_two_workers_by_file_and_offset(
    run_here: RunJob, tmp_path: Path
) -> None:
    damaged, offset = damaged_shards(tmp_path / "shards")
    ended = damaged_run(run_here, tmp_path, 2)
    line = ended.failed_with()
    assert line.startswith(f"error: {damaged}: damaged record")
    assert f"at byte {offset};" in line
    # Starting again would meet the same record.
    assert "starting the workers again" not in ended.out


def test_a_damaged_record_is_skipped_and_counted_on_three_workers(
    run_here: RunJob, tmp_path: Path
) -> None:
    damaged, offset = damaged_shards(tmp_path / "shards")
    ended = damaged_run(run_here, tmp_path, 3, "--on-bad-record", "skip")
    assert ended.code == 0, ended.out + ended.err
    result = ended.result
    assert (result["skipped"], result["count"], result["epochs"]) == (1, 60, 1)
    assert "skipped 1 drawings that cannot be used" in ended.out
    assert (
        f"{damaged}: damaged record (wrong checksum of the payload) at byte {offset}" in ended.out
    )
    # What validates within training is every drawing once, by three workers too.
    assert f"validation of {HELD_OUT} sketches" in ended.out
