"""Sources of videos: classes, splits, files that are no videos, and files that are broken."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from video_files import tones, video

from rnnray import bad_records
from rnnray.errors import UserError, find_user_error
from rnnray.training.rows import read
from rnnray.video.data.training_clips import training_data
from rnnray.video.data.video_file import BadVideo
from rnnray.video.data.videos import Videos, open_videos
from rnnray.video.video_config import ClipConfig, VideoConfig

HEAD = b"\0\0\0\x20ftypisom"  # enough to count as a video until it is decoded


def source(folder: Path, *files: str, content: bytes = HEAD) -> str:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


def names(videos: Videos, split: str) -> list[str]:
    return [f"{each.class_name}/{Path(each.path).name}" for each in videos.splits[split]]


def clips(videos: Videos, **config: Any) -> pa.Table:
    blocks = read(videos.dataset("all", ClipConfig(frame_size=16, **config)), "videos")
    return pa.concat_tables([blocks.table(index) for index in range(len(blocks.tables))])


def test_each_class_is_divided_by_a_hash_of_names_in_exact_shares(tmp_path: Path) -> None:
    files = [f"{name}/{number}.mp4" for name in ("cat", "dog") for number in range(10)]
    videos = open_videos(source(tmp_path, *files))
    assert videos.class_names == ("cat", "dog")
    for split, count in (("train", 8), ("validation", 1), ("test", 1)):
        assert Counter(each.class_name for each in videos.splits[split]) == {
            "cat": count,
            "dog": count,
        }
    everything = [
        name for split in ("train", "validation", "test") for name in names(videos, split)
    ]
    assert sorted(everything) == names(videos, "all") == sorted(files)
    again = open_videos(str(tmp_path), split="80:10:10")
    assert names(again, "test") == names(videos, "test")
    assert len(open_videos(str(tmp_path), split="50:50:0").splits["validation"]) == 10


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    data = source(
        tmp_path, "train/cat/1.mp4", "train/dog/2.mp4", "val/cat/3.mp4", "test/dog/deep/4.mp4"
    )
    videos = open_videos(data)
    assert names(videos, "train") == ["cat/1.mp4", "dog/2.mp4"]
    assert names(videos, "validation") == ["cat/3.mp4"]
    assert names(videos, "test") == ["dog/4.mp4"]
    with pytest.raises(UserError, match="already has splits, which --split 80:10:10 would mix"):
        open_videos(data, split="80:10:10")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    videos = open_videos(source(tmp_path, "train/1.mp4", "bus/2.mp4", "test/3.mp4"))
    assert videos.class_names == ("bus", "test", "train")


def test_files_that_are_no_videos_are_passed_over(tmp_path: Path) -> None:
    source(tmp_path, "README.md", "cat/notes.txt", content=b"# Of cats and dogs")
    source(tmp_path, "cat/a", "cat/b.mp4", "dog/c.webm")
    videos = open_videos(str(tmp_path))
    assert names(videos, "all") == ["cat/a", "cat/b.mp4", "dog/c.webm"]
    assert videos.passed_over == ("README.md", "cat/notes.txt")


def test_what_cannot_be_opened_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file in it is a video"):
        open_videos(source(tmp_path, "cat/a.txt", content=b"no video"))
    source(tmp_path, "b.mp4")
    with pytest.raises(UserError, match="lies in no folder of a class; put the videos of each"):
        open_videos(str(tmp_path))
    assert open_videos(str(tmp_path), labelled=False).splits["all"][0].class_name is None
    for data in ("demo:0", "demo:many", "demo:"):
        with pytest.raises(UserError, match="demo:COUNT takes a number"):
            open_videos(data)


@pytest.mark.usefixtures("ray_cluster")
def test_clips_are_in_the_order_of_the_files_whatever_their_length(tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(exist_ok=True)
        (folder / f"{number:02d}.mp4").write_bytes(video([40] * (1 + number % 5)))
    rows = clips(open_videos(str(tmp_path)))
    assert [Path(file).stem for file in rows["file"].to_pylist()] == [
        f"{number:02d}" for number in [*range(0, 40, 2), *range(1, 40, 2)]
    ]
    assert rows["class_index"].to_pylist() == [0] * 20 + [1] * 20
    assert rows["count"].to_pylist()[:5] == [1, 2, 3, 1, 2]


@pytest.mark.usefixtures("ray_cluster")
def test_a_broken_file_ends_the_run_or_is_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source(tmp_path, "cat/a.mp4", "dog/c.mp4", content=video([40] * 4))
    source(tmp_path, "cat/b.mp4", content=video([40] * 4)[:500])
    with pytest.raises(Exception, match=r"b\.mp4") as error:
        clips(open_videos(str(tmp_path)))
    found = find_user_error(error.value)
    assert isinstance(found, BadVideo)
    assert "give --on-bad-file skip" in str(found)
    with bad_records.counted("skip", "videos") as bad:
        rows = clips(open_videos(str(tmp_path), on_bad=bad))
        assert bad is not None
        assert bad.count == 1
    assert [Path(file).name for file in rows["file"].to_pylist()] == ["a.mp4", "c.mp4"]
    assert "skipped 1 videos that cannot be used" in capsys.readouterr().out


@pytest.mark.usefixtures("ray_cluster")
def test_silent_and_long_videos_are_counted_and_a_missing_split_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = VideoConfig(frame_size=16, max_frames=3)
    source(tmp_path, "cat/a.mp4", content=video([40] * 8))
    source(tmp_path, "cat/b.mp4", content=video([40] * 4, sound=tones([4000, 4000])))
    training_data(open_videos(str(tmp_path)), config, str(tmp_path))
    out = capsys.readouterr().out
    assert "1 of 2 videos have no sound: it is read as silence" in out
    assert "1 of 2 videos are longer than 3 s" in out
    with pytest.raises(UserError, match="no videos in the validation split; splits are folders"):
        training_data(open_videos(source(tmp_path / "one", "cat/a.mp4")), config, str(tmp_path))
