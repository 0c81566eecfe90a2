"""Every place that drawings come from.

`open_drawings` is the one door: `demo`, `quickdraw`, or a path or URI of TFRecords, Parquet or
ndjson.
"""

import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import ray
from pyarrow import fs

from rnnray import storage
from rnnray.errors import UserError
from rnnray.sketch import demo, formats, ndjson, quickdraw
from rnnray.sketch.drawings import DEMO_CHUNK, SPLITS, DemoPart, Drawings, FilePart, Part
from rnnray.sketch.tfrecord_file import OnBad

DEMO_COUNT = 12_000

# Written last by jobs/prepare_sketches.py: a folder without it was not finished.
PREPARED_MARK = "sketches.json"


def open_drawings(
    data: str,
    *,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    recognized_only: bool = False,
    on_bad: OnBad | None = None,
) -> Drawings:
    """Open a source of drawings.

    Args:
        data: `demo` or `demo:COUNT` (drawings that the project generates: COUNT for training and
            a tenth of it each for validation and test), `quickdraw` (the tutorial's archive,
            downloaded to the cache), or a path or URI of TFRecords, Parquet or ndjson: a file or
            a folder.
        class_names: what ndjson words, or shards without a `.classes` file, are looked up in;
            without it ndjson is read once for its words.
        labelled: the drawings' classes are needed; otherwise words that are not in the class
            list give `table.UNKNOWN_CLASS`.
        recognized_only: leave out drawings that say that the game did not recognise them.
        on_bad: takes the error of a drawing that cannot be used, and reading goes on; without it
            the error ends the run.

    Raises:
        UserError: nothing is there, or nothing that we know.
    """
    if data == "demo" or data.startswith("demo:"):
        if recognized_only:
            raise _says_nothing_of_recognition(data, "generated drawings")
        return _demo(data)
    if data == "quickdraw":
        data = str(quickdraw.tutorial_folder())
    filesystem, paths = storage.list_files(data)
    root = storage.open_uri(data)[1]
    if any(_split_folder(root, path) for path in paths) and not any(
        PurePosixPath(path).name == PREPARED_MARK for path in paths
    ):
        raise UserError(
            f"{data}: has folders of splits and no {PREPARED_MARK}, so its preparation did not "
            "end; run jobs/prepare_sketches.py again"
        )
    lists = [path for path in paths if path.endswith(".classes")]
    if paths == [root]:  # one file: its class list lies beside it
        beside = Path(root).parent.glob("*.classes") if filesystem.type_name == "local" else []
        lists = sorted(str(path) for path in beside)
    files = [
        path for path in paths if not path.endswith((".classes", ".json", ".png", ".md", ".txt"))
    ]
    if not files:
        raise UserError(f"{data}: the folder has no TFRecords, Parquet or ndjson files")
    kinds = {path: formats.detect(filesystem, path) for path in files}
    if len(set(kinds.values())) > 1:
        few = {kind: path for path, kind in kinds.items()}
        raise UserError(
            f"{data}: mixes formats: "
            + ", ".join(f"{PurePosixPath(path).name} is {kind}" for kind, path in few.items())
        )
    file_format = kinds[files[0]]
    if recognized_only and file_format != "ndjson":
        raise _says_nothing_of_recognition(data, file_format)
    names = _class_names(data, filesystem, files, file_format, lists, class_names, labelled, on_bad)
    part = partial(FilePart, filesystem, format=file_format, class_names=names, labelled=labelled)
    keep = _recognized if recognized_only else None
    splits: dict[str, tuple[Part, ...]] = {
        "all": tuple(part(path=path, keep=keep) for path in files)
    }
    if file_format == "ndjson":
        for split in SPLITS:
            keep = partial(_in_split, split, recognized_only)
            splits[split] = tuple(part(path=path, keep=keep) for path in files)
    else:
        for split, chosen in _split_files(root, files).items():
            splits[split] = tuple(part(path=path) for path in chosen)
    return Drawings(data, names, splits, on_bad)


def check_same_classes(drawings: Drawings, class_names: Sequence[str], whose: str) -> None:
    """Raise `UserError` unless the drawings have exactly these classes, in this order."""
    if drawings.class_names == tuple(class_names):
        return
    pairs = zip(drawings.class_names, class_names, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    detail = ""
    if first is not None:
        here, there = drawings.class_names[first], class_names[first]
        detail = f"; the first difference is class {first}: {here!r} and {there!r}"
    raise UserError(
        f"{drawings.data} has {len(drawings.class_names)} classes and {whose} {len(class_names)}, "
        f"not the same list{detail}"
    )


def _demo(data: str) -> Drawings:
    text = data.partition(":")[2] or str(DEMO_COUNT)
    if not text.isdecimal() or int(text) < len(SPLITS) * 10:
        raise UserError(f"{data}: demo:COUNT takes a whole number of drawings from 30 up")
    train = int(text)
    held_out = train // 10
    splits: dict[str, tuple[Part, ...]] = {}
    start = 0
    for split, count in (("validation", held_out), ("test", held_out), ("train", train)):
        splits[split] = tuple(
            DemoPart(first, min(DEMO_CHUNK, start + count - first))
            for first in range(start, start + count, DEMO_CHUNK)
        )
        start += count
    splits["all"] = tuple(part for split in SPLITS for part in splits[split])
    return Drawings(data, demo.CLASS_NAMES, splits)


def _split_folder(root: str, path: str) -> str | None:
    """The split that a file's folder below the source is named for; None for no such folder."""
    name = PurePosixPath(path).relative_to(root).parent.name
    return name if name in SPLITS else None


def _split_files(root: str, paths: Sequence[str]) -> dict[str, list[str]]:
    """Which files make which split, by the names of files and folders.

    As in the book, the first half of the `eval.*` shards is validation and the second is test
    (A. Géron, Hands-On Machine Learning, chapter 15, exercise 9).
    """
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    evaluation: list[str] = []
    prefixes = {"training": "train", "train": "train", "validation": "validation", "test": "test"}
    for path in paths:
        prefix = PurePosixPath(path).name.partition(".")[0]
        if folder := _split_folder(root, path):
            splits[folder].append(path)
        elif prefix in prefixes:
            splits[prefixes[prefix]].append(path)
        elif prefix == "eval":
            evaluation.append(path)
    half = (len(evaluation) + 1) // 2
    splits["validation"] += evaluation[:half]
    splits["test"] += evaluation[half:]
    return splits


def _says_nothing_of_recognition(data: str, what: str) -> UserError:
    return UserError(f"{data}: {what} do not say what was recognised; only ndjson does")


def _recognized(drawing: ndjson.Drawing) -> bool:
    return drawing.recognized is not False


def _in_split(split: str, recognized_only: bool, drawing: ndjson.Drawing) -> bool:
    """True for drawings of a split: 80, 10 and 10 % by a hash of the drawing's own name.

    By the name and not by the place in the file, so that a drawing stays in its split when files
    are cut, joined or sorted another way.
    """
    if recognized_only and not _recognized(drawing):
        return False
    key = drawing.key_id or f"{drawing.word}:{drawing.line_number}"
    percent = zlib.crc32(key.encode()) % 100
    return split == ("train" if percent < 80 else "validation" if percent < 90 else "test")


def _class_names(
    data: str,
    filesystem: fs.FileSystem,
    files: Sequence[str],
    file_format: formats.Format,
    lists: Sequence[str],
    given: Sequence[str] | None,
    labelled: bool,
    on_bad: OnBad | None,
) -> tuple[str, ...]:
    if file_format == "parquet":
        default = None if labelled else given
        found = {path: formats.class_names_of(filesystem, path, default) for path in files}
    elif file_format == "tfrecords" and lists:
        found = {path: _read_class_list(filesystem, path) for path in lists}
    elif given is not None:
        return tuple(given)
    elif file_format == "tfrecords":
        raise UserError(
            f"{data}: no class list; put the class names, one a line in the order of "
            "class_index, into a file NAME.tfrecord.classes beside the shards"
        )
    else:
        words = ray.remote(formats.words_of)
        found_words = ray.get([words.remote(filesystem, path, on_bad) for path in files])
        names = tuple(sorted(set().union(*found_words)))
        if not names:
            raise UserError(f"{data}: no drawing says its word, so there are no classes")
        return names
    first = next(iter(found))
    for path, names in found.items():
        if names != found[first]:
            raise UserError(f"{path} and {first}: different class lists")
    return found[first]


def _read_class_list(filesystem: fs.FileSystem, path: str) -> tuple[str, ...]:
    with filesystem.open_input_stream(path) as stream:
        text = stream.read().decode("utf-8", errors="replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) != len(names):
        raise UserError(f"{path}: a class list has each name once, one a line, and at least one")
    return names
