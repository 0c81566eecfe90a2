"""The video classifier trained by two workers on generated files, and what its checkpoint says."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny import Ended, RunJob
from video_files import video

from rnnray.video.data import demo_videos
from rnnray.video.video_classifier import VideoClassifier

VIDEOS = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of classes of video files, one of them broken, and a file that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        file = folder.joinpath(*demo_videos.name_of(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(demo_videos.content(number))
    (folder / "clockwise-rising" / "broken.mp4").write_bytes(demo_videos.content(0)[:3000])
    (folder / "notes.txt").write_text("Of balls and tones")
    return folder


@pytest.fixture(scope="module")
def trained(run_here: RunJob, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """One epoch of a small classifier, through the job file; not to be changed by tests."""
    ended = run_here(
        "train_video",
        *("--data", str(files), "--on-bad-file", "skip", "--split", "50:25:25"),
        *("--frame-size", "16", "--model.filters", "8", "8", "--model.sound-filters", "8", "8"),
        *("--epochs", "1", "--global-batch-size", "8", "--max-frames", "8", "--workers", "2"),
        *("--storage-path", str(tmp_path_factory.mktemp("runs"))),
    )
    assert ended.code == 0, ended.out + ended.err
    return ended


def test_the_job_says_what_it_does_and_ends_with_its_result(trained: Ended) -> None:
    result = trained.result
    assert (result["split"], result["epochs"]) == ("test", 1)
    assert 8 <= result["count"] <= 10
    assert 0 <= result["top1"] <= result["top5"] == 1
    assert (result["skipped"], result["passed_over"]) == (1, 1)
    assert "skipped 1 videos that cannot be used" in trained.out
    assert "broken.mp4: cannot be used as a video (" in trained.out
    assert "passed over 1 file that is no video: notes.txt" in trained.out
    assert "videos are longer than 8 s" in trained.out
    assert "validation of" in trained.out
    pictures = {path.name for path in Path(result["pictures"]).iterdir()}
    assert pictures == {"learning_curves.png", "confusions.png", "predictions.png"}
    checkpoint = {path.name for path in Path(result["checkpoint"]).iterdir()}
    assert checkpoint >= {"model.keras", "config.yaml", "classes.txt", "README.md"}


def test_each_file_gets_its_most_probable_classes_in_the_files_order(
    run_here: RunJob, trained: Ended, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    for number in (3, 1, 2):
        (tmp_path / "new" / f"{number}.mp4").write_bytes(demo_videos.content(number))
    (tmp_path / "new" / "silent.mkv").write_bytes(video([90] * 3, kind="matroska"))
    (tmp_path / "new" / "cat").mkdir()
    (tmp_path / "new" / "cat" / "short.avi").write_bytes(video([90], kind="avi", ticks=2))
    output = tmp_path / "classes.parquet"
    arguments = ("--checkpoint", trained.result["checkpoint"], "--output", str(output))
    ended = run_here("classify_video", "--data", str(tmp_path / "new"), *arguments)
    assert ended.code == 0, ended.out + ended.err
    assert (ended.result["count"], ended.result["skipped"]) == (5, 0)
    assert "2 of 5 videos have no sound" in ended.out
    rows = pq.read_table(output).to_pylist()
    names = [Path(row["file"]).name for row in rows]
    assert names == ["1.mp4", "2.mp4", "3.mp4", "short.avi", "silent.mkv"]
    assert [row["true_class"] for row in rows] == [None] * 3 + ["cat", None]
    classifier = VideoClassifier(trained.result["checkpoint"])
    for row in rows:
        assert sorted(row["classes"]) == list(demo_videos.CLASS_NAMES)
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
        found = classifier.classify(row["file"])
        assert [name for name, _ in found] == row["classes"]
    ended = run_here("classify_video", "--data", str(files), *arguments)
    assert "broken.mp4: cannot be used as a video (" in ended.failed_with()


def test_a_run_does_not_go_on_with_other_files(
    run_here: RunJob, trained: Ended, files: Path
) -> None:
    storage = Path(trained.result["checkpoint"]).parents[1]
    (files / "clockwise-rising" / "new.mp4").write_bytes(demo_videos.content(VIDEOS + 1))
    ended = run_here(
        "train_video",
        *("--config", str(storage / "video" / "config.yaml"), "--on-bad-file", "skip"),
        *("--epochs", "2", "--storage-path", str(storage)),
    )
    assert "on other data: " in ended.failed_with()
