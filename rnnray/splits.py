"""The split of each file or row of a source: by the names of files and folders, or by shares.

In rnnray/sketch/data, `datasets` applies these rules to drawings, and `scans.position_of` is the
hash that divides the drawings of a file.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from rnnray.errors import UserError

SPLITS = ("train", "validation", "test")

USUAL = "80:10:10"
"""Shares of files and rows that no name splits."""

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


def split_of(folder: str) -> str | None:
    """Return the split that a folder's name means, in any case; None for none.

    `eval` counts as validation.
    """
    word = folder.lower()
    return "validation" if word in _EVALUATION else _SPLIT_OF.get(word)


def folder_split(root: str, path: str) -> str | None:
    """Return the split that a folder between the source and a file is named for; None for none."""
    folders = PurePosixPath(path).relative_to(root).parts[:-1]
    return next(filter(None, map(split_of, reversed(folders))), None)


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


def parse_shares(text: str) -> tuple[int, int, int]:
    """Parse TRAIN:VALIDATION:TEST, percent of the data, such as 80:10:10.

    Raises:
        ValueError: these are not three numbers whose sum is 100, or one of the first two is 0.
    """
    found = re.fullmatch(r"(\d{1,3}):(\d{1,3}):(\d{1,3})", text, re.ASCII)
    train, validation, test = map(int, found.groups()) if found else (0, 0, 0)
    if train + validation + test != 100 or not train or not validation:
        raise ValueError(
            "TRAIN:VALIDATION:TEST in percent, such as 80:10:10; they make 100, and TRAIN and "
            "VALIDATION are not 0"
        )
    return train, validation, test


def ranges(split: str, count: int = 100) -> dict[str, range]:
    """Return the indices of each split among `count`: by default those of a hash from 0 to 99."""
    train, validation, _ = parse_shares(split)
    bounds = (count * share // 100 for share in (0, train, train + validation, 100))
    return {name: range(*ends) for name, ends in zip(SPLITS, pairwise(bounds), strict=True)}


def divided(names: Sequence[str], split: str) -> list[str]:
    """Return the split of each name, by a hash of the names, in exactly the given shares.

    A split of more than 0 % has at least one name if there are enough.
    """
    order = sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).digest())
    counts = counts_of(len(names), parse_shares(split))
    in_order = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    return [name for _, name in sorted(zip(order, in_order, strict=True))]


def check_undivided(data: str, split: str | None, *, has_splits: bool) -> None:
    """Raise `UserError` if a source that has splits of its own is to be divided by `split`."""
    if has_splits and split is not None:
        raise UserError(
            f"{data}: already has splits, which --split {split} would mix; leave --split out"
        )


def counts_of(names: int, percent: tuple[int, int, int]) -> list[int]:
    """Return the number of names in each split; each that is asked for has one if names suffice."""
    held_out = [round(names * share / 100) or int(share > 0) for share in percent[1:]]
    while sum(held_out) >= names and any(held_out):
        held_out[held_out[1] >= held_out[0]] -= 1
    return [names - sum(held_out), *held_out]
