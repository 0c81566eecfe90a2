"""All sources of videos: `demo`, or a path or URI of a folder of classes; decoded by Ray Data."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import ray.data
from pyarrow import fs

from rnnray import reach, splits, storage
from rnnray.bad_records import say_passed_over
from rnnray.errors import OnBad, UserError, report
from rnnray.run_folder import condensed
from rnnray.video.data import clip_table, demo_videos, video_file
from rnnray.video.data.video_file import BadVideo
from rnnray.video.video_config import ClipConfig

_DEMO_COUNT = 600
_BLOCK_BYTES = 4 << 20
_FILES_A_TASK, _LEAST_TASKS = 16, 16
# Many threads: reading the heads of files waits for storage, not for a processor.
_READERS = 16
_HEAD_BYTES = 12


@dataclass(frozen=True)
class DemoVideo:
    """A video of the endless sequence of generated ones."""

    number: int

    @property
    def class_name(self) -> str | None:
        """Name of its class."""
        return demo_videos.name_of(self.number)[0]

    @property
    def path(self) -> str:
        """Name of its class and its own."""
        return "/".join(demo_videos.name_of(self.number))

    def open(self) -> Any:
        """Return it as an open file."""
        return io.BytesIO(demo_videos.content(self.number))


@dataclass(frozen=True)
class FileVideo:
    """A video file."""

    filesystem: fs.FileSystem
    path: str
    class_name: str | None
    """Name of its class; None if it lies in no folder of a class."""

    def open(self) -> Any:
        """Return it as an open file."""
        return self.filesystem.open_input_file(self.path)


Video = DemoVideo | FileVideo


@dataclass(frozen=True)
class Videos:
    """An opened source of videos: its class names, and the videos of each split."""

    data: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Sequence[Video]]
    """Videos of `train`, `validation`, `test` and `all`."""
    on_bad: OnBad | None = None
    passed_over: tuple[str, ...] = ()
    """Files that are no videos, by their path below the source."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """Ray's options of the reading tasks, such as their nodes."""

    def say_passed_over(self) -> int:
        """Print the names of a few files that are no videos; return the number of all."""
        one, several = "1 file that is no video", "files that are no videos"
        return say_passed_over(self.passed_over, one, several)

    def dataset(
        self, split: str, config: ClipConfig, class_names: Sequence[str] | None = None
    ) -> ray.data.Dataset:
        """Return the clips of a split's videos as clip tables, lazily decoded, in a fixed order.

        Args:
            split: train, validation, test or all.
            config: how a video becomes a clip.
            class_names: the classifier's list; by default the source's own.
        """
        videos = self.splits[split]
        numbers = ray.data.range(
            len(videos), override_num_blocks=max(1, -(-len(videos) // _task_files(len(videos))))
        )
        numbers.context.target_max_block_size = _BLOCK_BYTES
        numbers.context.execution_options.preserve_order = True
        read = partial(
            _clips,
            videos=videos,
            config=config,
            class_names=tuple(class_names or self.class_names),
            on_bad=self.on_bad,
        )
        return numbers.map_batches(read, batch_size=None, batch_format="pyarrow", **self.reading)

    def identity(self, training_videos: int) -> dict[str, Any]:
        """Return the classes, the number of training videos, and the files with sizes in bytes."""
        files = [video for video in self.splits["all"] if isinstance(video, FileVideo)]
        paths = [video.path for video in files]
        infos = files[0].filesystem.get_file_info(paths) if files else []
        root = storage.open_uri(self.data)[1] if files else ""
        return {
            "classes": list(self.class_names),
            "training_videos": training_videos,
            "file_bytes": condensed({_below(root, info.path): info.size for info in infos}),
        }


def open_videos(
    data: str, *, labelled: bool = True, on_bad: OnBad | None = None, split: str | None = None
) -> Videos:
    """Open a source of videos.

    Args:
        data: `demo` or `demo:COUNT`, videos that the project generates; or a path or URI of a
            folder with a folder for each class, or of a folder of splits with such folders. Files
            that are no videos are passed over (`Videos.passed_over`).
        labelled: whether the videos' classes are needed; if not, files may lie anywhere.
        on_bad: takes the error of a file that cannot be decoded, and reading goes on; without it
            the error ends the run.
        split: see `TrainingConfig.split`; without it, videos without splits are divided 80:10:10.

    Raises:
        UserError: nothing is there, no file is a video, a video has no class, or the source has
            splits and is to be divided; or PyAV is not installed.
    """
    video_file.import_av()
    kind, colon, count = data.partition(":")
    if kind == "demo" and (not colon or re.fullmatch(r"[1-9]\d{0,6}", count, re.ASCII)):
        demos = [DemoVideo(number) for number in range(int(count or _DEMO_COUNT))]
        return Videos(data, demo_videos.CLASS_NAMES, _divided(demos, split or splits.USUAL), on_bad)
    if kind == "demo":
        raise UserError(f"data {data}: demo:COUNT takes a number of videos, such as demo:100")
    where = reach.reading(data, "the videos")
    filesystem, paths = storage.list_files(data)
    root = storage.open_uri(data)[1]
    with ThreadPoolExecutor(_READERS) as pool:
        are_videos = list(pool.map(partial(_is_video, filesystem), paths))
    found = [path for path, is_video in zip(paths, are_videos, strict=True) if is_video]
    if not found:
        raise UserError(f"{data}: no file in it is a video (MP4, MOV, MKV, WebM or AVI)")
    folders = _split_of_each(root, found)
    videos = [FileVideo(filesystem, p, _class_of(root, p, bool(folders))) for p in found]
    for video in videos:
        if labelled and video.class_name is None:
            raise UserError(
                f"{video.path}: lies in no folder of a class; put the videos of each class into a "
                "folder of its own, named after it"
            )
    splits.check_undivided(data, split, has_splits=bool(folders))
    return Videos(
        data,
        tuple(sorted({video.class_name for video in videos if video.class_name is not None})),
        _by_split(videos, folders) if folders else _divided(videos, split or splits.USUAL),
        on_bad,
        tuple(_below(root, path) for path in paths if path not in set(found)),
        where,
    )


def _is_video(filesystem: fs.FileSystem, path: str) -> bool:
    with filesystem.open_input_stream(path, compression=None) as stream:
        return video_file.may_be_video(PurePosixPath(path).name, stream.read(_HEAD_BYTES))


def _below(root: str, path: str) -> str:
    name = PurePosixPath(path).relative_to(root).as_posix()
    return PurePosixPath(path).name if name == "." else name


def _split_of_each(root: str, paths: Sequence[str]) -> list[str]:
    """Return the split of each file if folders of splits hold those of the classes; else none.

    A class may be called "train", so all folders must be splits, and hold folders.
    """
    found = []
    for path in paths:
        parts = PurePosixPath(path).relative_to(root).parts
        split = splits.folder_split(root, f"{root}/{parts[0]}/x") if len(parts) > 2 else None
        if split is None:
            return []
        found.append(split)
    return found


def _class_of(root: str, path: str, in_splits: bool) -> str | None:
    parts = PurePosixPath(path).relative_to(root).parts[int(in_splits) :]
    return parts[0] if len(parts) > 1 else None


def _by_split(videos: Sequence[Video], of_each: Sequence[str]) -> dict[str, list[Video]]:
    pairs = list(zip(videos, of_each, strict=True))
    return {name: [v for v, split in pairs if split == name] for name in splits.SPLITS} | {
        "all": list(videos)
    }


def _divided(videos: Sequence[Video], split: str) -> dict[str, list[Video]]:
    """Divide the videos of each class by a hash of their names, in exactly the given shares."""
    chosen: dict[str, str] = {}
    for class_name in {video.class_name for video in videos}:
        paths = [video.path for video in videos if video.class_name == class_name]
        names = [PurePosixPath(path).name for path in paths]
        chosen |= dict(zip(paths, splits.divided(names, split), strict=True))
    return _by_split(videos, [chosen[video.path] for video in videos])


def _task_files(count: int) -> int:
    """Return the number of files a task: many small files each, but enough tasks for all CPUs."""
    return max(1, min(_FILES_A_TASK, count // _LEAST_TASKS))


def _clips(
    numbers: pa.Table,
    videos: Sequence[Video],
    config: ClipConfig,
    class_names: tuple[str, ...],
    on_bad: OnBad | None,
) -> Iterator[pa.Table]:
    yield clip_table.SCHEMA.empty_table()
    for number in numbers["id"].to_pylist():
        video = videos[number]
        try:
            with video.open() as file:
                clip = video_file.read(file, video.path, config)
        except BadVideo as bad:
            report(bad, on_bad)
            continue
        except OSError as error:
            raise UserError(f"{video.path}: cannot be read ({error})") from error
        yield clip_table.from_clip(clip, video.path, video.class_name, class_names)
