"""The files of each split of a source, by the names of files and folders."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

SPLITS = ("train", "validation", "test")

_SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_EVALUATION = ("eval", "evaluation")
# A word at the beginning of a name, or before its first dot: train-00000-of-00010.parquet,
# x-train.tfrecord-00000-of-00010.
_WORDS = "|".join((*_SPLIT_OF, *_EVALUATION))
_FILE_NAME = re.compile(rf"(?:({_WORDS})(?:[-_.].*)?|[^.]*[-_]({_WORDS})(?:[-_]\d.*)?(?:\..*)?)")


def folder_split(root: str, path: str) -> str | None:
    """Return the split that a folder between the source and a file is named for; None for none.

    `eval` counts as validation.
    """
    for name in reversed(PurePosixPath(path).relative_to(root).parts[:-1]):
        word = name.lower()
        if word in _SPLIT_OF or word in _EVALUATION:
            return _SPLIT_OF.get(word, "validation")
    return None


def split_files(root: str, paths: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the paths of each split; files whose names show no split are in none.

    Folder names come before file names. As in the book, the first half of the `eval*` files is
    validation and the second is test (A. Géron, Hands-On Machine Learning, chapter 15, exercise 9).
    If other files are named for one of these two splits, all `eval*` files are the other one.
    """
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    evaluation: list[str] = []
    for path in paths:
        word = _word_of_file(path)
        if folder := folder_split(root, path):
            splits[folder].append(path)
        elif word in _SPLIT_OF:
            splits[_SPLIT_OF[word]].append(path)
        elif word is not None:
            evaluation.append(path)
    missing = [split for split in ("validation", "test") if not splits[split]]
    if len(missing) == 1:
        splits[missing[0]] += evaluation
    else:
        half = (len(evaluation) + 1) // 2
        splits["validation"] += evaluation[:half]
        splits["test"] += evaluation[half:]
    return splits


def are_named(root: str, paths: Sequence[str]) -> bool:
    """Return whether names split a source of one file a category, where "train" may be a category.

    They do if a file lies in a folder of a split, or if every file is named for a split and there
    are at least two.
    """
    if any(folder_split(root, path) for path in paths):
        return True
    words = [_word_of_file(path) for path in paths]
    return None not in words and len({_SPLIT_OF.get(word or "", word) for word in words}) > 1


def _word_of_file(path: str) -> str | None:
    found = _FILE_NAME.fullmatch(PurePosixPath(path).name.lower())
    return None if found is None else found[1] or found[2]
