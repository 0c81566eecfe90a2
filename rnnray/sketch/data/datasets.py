"""All sources of drawings, opened: their files, their classes, and what is in which split.

`open_drawings` opens each of them: `demo`, `quickdraw`, or a path or URI of files of drawings.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from pyarrow import fs

from rnnray import reach, splits, storage
from rnnray.errors import OnBad, UserError
from rnnray.progress import say
from rnnray.sketch.data import (
    class_lists,
    demo_drawings,
    few_drawings,
    formats,
    quickdraw,
    scans,
    source_files,
)
from rnnray.sketch.data.drawings import DEMO_CHUNK, DemoPart, Drawings, FileGroup, FilePart, Part
from rnnray.sketch.data.source_files import SourceFile
from rnnray.sketch.data.svg import is_svg

DEMO_COUNT = 12_000

# jobs/prepare_sketches.py writes this file first and deletes it last.
UNFINISHED_MARK = "unfinished-preparation.json"
# Many threads: reading the schemas of files waits for storage, not for a processor.
_READERS = 16
_FILES_A_GROUP = 500


def open_drawings(
    data: str,
    *,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    recognized_only: bool = False,
    y_up: bool = False,
    on_bad: OnBad | None = None,
    split: str | None = None,
) -> Drawings:
    """Return the drawings of a source.

    Args:
        data: one of
            `demo` or `demo:COUNT`: drawings that the project generates, COUNT for training and a
            tenth of it each for validation and test;
            `quickdraw`: the tutorial's archive, downloaded to the cache;
            a path or URI of a file or a folder in one of the formats of
            `rnnray.sketch.data.detection`. Files of a folder that hold no drawings are passed over
            (`Drawings.passed_over`).
        class_names: class list for words, and for shards without one. Without it, files with words
            are read once for their words. The same names in another order are mapped to it.
        labelled: whether the drawings' classes are needed; if not, words outside the class list
            give `sketch_table.UNKNOWN_CLASS`.
        recognized_only: leave out drawings marked as not recognised by the game.
        y_up: y grows upwards in the files; the drawings are turned over.
        on_bad: takes the errors of drawings that cannot be used; without it, one ends the run.
        split: see `TrainingConfig.split`; without it, drawings with words are divided 80:10:10.

    Raises:
        UserError: nothing is there, or no known format, or the source has splits and is to be
            divided.
    """
    if data == "quickdraw" or data.partition(":")[0] == "demo":
        splits.check_undivided(data, split, has_splits=True)
    if data == "demo" or data.startswith("demo:"):
        if recognized_only:
            raise _says_nothing_of_recognition(data, "generated drawings")
        if y_up:
            raise UserError(f"{data}: in generated drawings y grows downwards; leave y_up out")
        return _demo(data)
    if data == "quickdraw":
        data = str(quickdraw.tutorial_folder())
    where = reach.reading(data, "the drawings")
    filesystem, paths = storage.list_files(data)
    root = storage.open_uri(data)[1]
    _check_prepared(data, filesystem, root, paths)
    files, lists, others = source_files.find(data, filesystem, root, paths)
    if recognized_only and files[0].format not in formats.WITH_RECOGNITION:
        raise _says_nothing_of_recognition(data, files[0].format)
    if not lists:
        around = _lists_around(filesystem, root, is_file=paths == [root])
        lists = [(path, None) for path in around]
    if files[0].format in formats.WITH_WORDS:
        parts, names = _parts_with_words(
            data, filesystem, files, class_names, labelled, on_bad, where
        )
    else:
        parts, names = _parts_with_indices(data, filesystem, files, class_names, labelled, lists)
    if recognized_only and not any(map(_judged, parts)):
        raise _says_nothing_of_recognition(data, "its drawings")
    parts = [replace(part, y_up=y_up) for part in parts]
    by_split = _by_split(data, root, parts, recognized_only, split, where)
    return Drawings(
        data,
        names,
        {name: _grouped(chosen) for name, chosen in by_split.items()},
        on_bad,
        _passed_over(root, others),
        where,
    )


def check_same_classes(drawings: Drawings, class_names: Sequence[str], whose: str) -> None:
    """Raise `UserError` unless the drawings have exactly these classes, in this order.

    Args:
        drawings: an opened source.
        class_names: the expected class list.
        whose: owner of that list, for the message.
    """
    if drawings.class_names == tuple(class_names):
        return
    pairs = zip(drawings.class_names, class_names, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    detail = ""
    if first is not None:
        here, there = drawings.class_names[first], class_names[first]
        detail = f"; the first difference is class {first}: {here!r} and {there!r}"
    raise UserError(
        f"{drawings.data} has {len(drawings.class_names)} classes and {whose} has "
        f"{len(class_names)}: their lists differ{detail}"
    )


def _demo(data: str) -> Drawings:
    text = data.partition(":")[2] or str(DEMO_COUNT)
    if not text.isdecimal() or int(text) < len(splits.SPLITS) * 10:
        raise UserError(f"{data}: demo:COUNT needs a whole number of drawings, at least 30")
    train = int(text)
    held_out = train // 10
    parts: dict[str, tuple[Part, ...]] = {}
    start = 0
    for split, count in (("validation", held_out), ("test", held_out), ("train", train)):
        parts[split] = tuple(
            DemoPart(first, min(DEMO_CHUNK, start + count - first))
            for first in range(start, start + count, DEMO_CHUNK)
        )
        start += count
    parts["all"] = tuple(part for split in splits.SPLITS for part in parts[split])
    return Drawings(data, demo_drawings.CLASS_NAMES, parts)


def _check_prepared(data: str, filesystem: fs.FileSystem, root: str, paths: Sequence[str]) -> None:
    """Refuse what jobs/prepare_sketches.py has not finished, and a split of it."""
    marks = [path for path in paths if PurePosixPath(path).name == UNFINISHED_MARK]
    folder = PurePosixPath(root)
    above = f"{folder.parent}/{UNFINISHED_MARK}"
    if not marks and splits.folder_split(str(folder.parent), f"{root}/x"):
        marks = [above] if filesystem.get_file_info(above).type == fs.FileType.File else []
    if marks:
        raise UserError(
            f"{data}: its preparation was interrupted ({marks[0]}); "
            "delete the folder and run jobs/prepare_sketches.py again"
        )


def _says_nothing_of_recognition(data: str, what: str) -> UserError:
    return UserError(f"{data}: {what} do not say whether they were recognised")


def _judged(part: FilePart) -> bool:
    """Return whether a drawing of a part says if the game recognised it; reads up to the first."""
    if part.scan is not None:
        return part.scan.judged > 0
    return any(drawing.recognized is not None for drawing in part.drawings())


def _passed_over(root: str, files: Sequence[tuple[str, str | None]]) -> tuple[str, ...]:
    """Return the names of files below the source, without the description of prepared drawings."""
    names = (str(PurePosixPath(formats.name_of(*file)).relative_to(root)) for file in files)
    return tuple(sorted(name for name in names if name != "sketches.json"))


def _lists_around(filesystem: fs.FileSystem, root: str, *, is_file: bool) -> list[str]:
    """Return the class lists beside a file, and those above a folder that is one split."""
    folder = PurePosixPath(root).parent if is_file else PurePosixPath(root)
    found = class_lists.beside(filesystem, str(folder)) if is_file else []
    if not found and splits.folder_split(str(folder.parent), f"{folder}/x"):
        found = class_lists.beside(filesystem, str(folder.parent))
    return found


def _parts_with_words(
    data: str,
    filesystem: fs.FileSystem,
    files: Sequence[SourceFile],
    given: Sequence[str] | None,
    labelled: bool,
    on_bad: OnBad | None,
    where: dict[str, Any],
) -> tuple[list[FilePart], tuple[str, ...]]:
    """Return the parts of files whose drawings have words, and all words, sorted."""
    parts = [
        FilePart(filesystem, file.path, file.format, (), labelled, member=file.member)
        for file in files
    ]
    if given is not None:
        return [replace(part, class_names=tuple(given)) for part in parts], tuple(given)
    found = scans.scan_files(
        data,
        filesystem,
        [scans.ScannedFile(part.path, part.member, partial(_scan, part, on_bad)) for part in parts],
        skip_bad=on_bad is not None,
        reading=where,
    )
    names = tuple(sorted({word for each in found for word in each.words}))
    if not names:
        broken = sum(each.bad for each in found)
        raise UserError(
            f"{data}: no drawing can be used, {broken:,} records are broken"
            if broken and not any(each.count(None) for each in found)
            else f'{data}: no drawing has a word (field or column "word"), so there are no classes'
        )
    return [
        replace(part, class_names=names, scan=each) for part, each in zip(parts, found, strict=True)
    ], names


def _scan(part: FilePart, on_bad: OnBad | None) -> scans.Scan:
    bad: list[UserError] = []

    def report(error: UserError) -> None:
        if on_bad is None:
            raise error
        bad.append(error)
        on_bad(error)

    return scans.scan(part.drawings(report), bad)


def _parts_with_indices(
    data: str,
    filesystem: fs.FileSystem,
    files: Sequence[SourceFile],
    given: Sequence[str] | None,
    labelled: bool,
    lists: Sequence[tuple[str, str | None]],
) -> tuple[list[FilePart], tuple[str, ...]]:
    """Return parts of files whose drawings have a class_index, and the names that it indexes."""
    own: list[tuple[str, ...]]
    if files[0].format == "parquet":
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(
                lambda file: formats.class_names_of(
                    filesystem, file.path, None if labelled else given, file.member
                ),
                files,
            )
            own = [names or () for names in found]
    elif lists:
        names = class_lists.common(
            {formats.name_of(*each): class_lists.read_list(filesystem, *each) for each in lists}
        )
        own = [names] * len(files)
    elif given is not None:
        say(f"{data}: no class list; its class_index is read as the checkpoint's own")
        own = [tuple(given)] * len(files)
    else:
        raise UserError(
            f"{data}: no class list; write the class names, one a line in the order of "
            "class_index, to a file NAME.tfrecord.classes beside the shards"
        )
    names = own[0]
    if given is not None and set(given) == set(names) and len(given) == len(names):
        names = tuple(given)
    if names != own[0]:
        say(f"{data}: the classes are the checkpoint's in another order; mapped to its order")
    for file, theirs in zip(files, own, strict=True):
        if theirs != names and sorted(theirs) != sorted(names):
            raise UserError(f"{file.name} and {files[0].name}: different class lists")
    return [
        FilePart(
            filesystem,
            file.path,
            file.format,
            names,
            labelled,
            member=file.member,
            own_names=None if theirs == names else theirs,
        )
        for file, theirs in zip(files, own, strict=True)
    ], names


def _by_split(
    data: str,
    root: str,
    parts: Sequence[FilePart],
    recognized_only: bool,
    split: str | None,
    where: dict[str, Any],
) -> dict[str, list[FilePart]]:
    """Return the parts of each split, by names, or by a hash of the drawings' names or ink."""
    with_words = parts[0].format in formats.WITH_WORDS
    if recognized_only:
        parts = [replace(part, keep=scans.Share(0, 100, recognized_only=True)) for part in parts]
    by_file = {formats.name_of(part.path, part.member): part for part in parts}
    found: dict[str, list[FilePart]] = {"all": list(parts)}
    # A sketch-rnn archive has three arrays, named after the splits.
    named = parts[0].format == "sketch-rnn" and not any(
        splits.folder_split(root, p) for p in by_file
    )
    by_name: Mapping[str, Sequence[str]] = {}
    if named or not with_words or splits.are_named(root, list(by_file)):
        by_name = splits.split_files(root, list(by_file))
    elif split is None:
        split = splits.USUAL
    for name, chosen in by_name.items():
        found[name] = [by_file[file] for file in chosen]
    held_out = bool(by_name.get("validation") or by_name.get("test"))
    splits.check_undivided(data, split, has_splits=held_out)
    shares = {
        name: scans.Share(share.start, share.stop, recognized_only)
        for name, share in (splits.ranges(split) if split else {}).items()
        if share
    }
    exact = None
    if split and parts[0].labelled:  # drawings to classify are read as one
        exact = few_drawings.exact_shares(data, parts, shares, split, where)
    for name, kept in (exact or shares).items():
        found[name] = [
            replace(part, keep=kept, scan=None if exact else part.scan)
            if with_words
            else replace(part, share=kept)
            for part in parts
        ]
    return found


def _grouped(parts: Sequence[FilePart]) -> tuple[Part, ...]:
    """Group parts of files with one drawing each by the hundreds; leave other parts as they are."""
    loose = [part for part in parts if part.format == "svg" and is_svg(part.path)]
    if len(loose) < 2:
        return tuple(parts)
    groups = [
        FileGroup(tuple(loose[first : first + _FILES_A_GROUP]))
        for first in range(0, len(loose), _FILES_A_GROUP)
    ]
    return (*groups, *(part for part in parts if part not in loose))
