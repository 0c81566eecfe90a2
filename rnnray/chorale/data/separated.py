"""Chorales in `Jsb16thSeparated.json` and `.npz`: all splits in one file.

The form of https://github.com/czhuang/JSB-Chorales-dataset: for train, valid and test a list of
chorales, each a list of chords of four pitches, soprano to bass, a chord a sixteenth note; silence
is -1 in JSON, NaN in NumPy.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnnray import object_array
from rnnray.chorale.chords import PITCHES, VOICE_COUNT, Chords
from rnnray.chorale.data.chorale_table import SPLIT_NAMES, SPLITS, out_of_range
from rnnray.errors import UserError

SUFFIXES = (".json", ".npz")
_MAX_BYTES = 64 << 20  # unpacked; 382 chorales have 1.7 MB


def read_separated(content: bytes, suffix: str, where: str) -> list[tuple[str, str, Chords]]:
    """Return split, name and chords of each chorale.

    Args:
        content: content of the file.
        suffix: `.json` or `.npz`. In `.npz`, a split is an array of an array [n, 4] for each
            chorale, as in that repository, which is read without unpickling; or a plain array
            [chorales, n, 4], filled up with NaN.
        where: name of the file, for messages.

    Raises:
        UserError: the file is anything else (split, chorale, chord and voice are named).
    """
    if len(content) > _MAX_BYTES:
        raise UserError(
            f"{where}: larger than {_MAX_BYTES >> 20} MiB, too large for a corpus of chorales"
        )
    splits = _from_json(content, where) if suffix == ".json" else _from_npz(content, where)
    rows = []
    for key, chorales in splits.items():
        digits = len(str(len(chorales)))
        for number, chorale in enumerate(chorales):
            chords = _chords(chorale, f"{where}, {key} {number}")
            rows.append((SPLIT_NAMES[key], f"{number:0{digits}}", chords))
    return rows


def _from_json(content: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict) or not values or not set(values) <= set(SPLIT_NAMES):
        raise UserError(
            f"{where}: not a corpus in JSON, which has a list of chorales for each of "
            f"{', '.join(SPLITS)}"
        )
    for key, chorales in values.items():
        if not isinstance(chorales, list) or not all(isinstance(one, list) for one in chorales):
            raise UserError(f"{where}, {key}: not a list of chorales")
    return values


def _from_npz(content: bytes, where: str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_BYTES:
            raise UserError(f"{where}: unpacks to more than {_MAX_BYTES >> 20} MiB; not read")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            values = {key: _arrays(arrays, key, where) for key in arrays.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError,
            TypeError, MemoryError, NotImplementedError, RuntimeError) as error:  # fmt: skip
        raise UserError(f"{where}: cannot be read as .npz ({error})") from error
    if not values or not set(values) <= set(SPLIT_NAMES):
        raise UserError(f"{where}: has no arrays named {', '.join(SPLITS)}")
    for key, chorales in values.items():
        for array in chorales:
            if array.ndim != 2 or array.shape[1] != VOICE_COUNT or array.dtype.kind not in "iuf":
                raise UserError(
                    f"{where}, {key}: a chorale of {array.dtype} {list(array.shape)} instead of "
                    f"numbers [chords, {VOICE_COUNT}]"
                )
    return values


def _arrays(arrays: Any, key: str, where: str) -> list[Any]:
    """Return the chorales of a split."""
    try:
        return [_unpadded(array) for array in arrays[key]]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
    try:
        with arrays.zip.open(f"{key}.npy") as member:
            return list(object_array.read(member))
    except UserError as error:
        raise UserError(
            f"{where}, {key}: {error}; the .json file of the same name has the same chorales"
        ) from error


def _unpadded(chorale: Any) -> Any:
    """Remove the silence that fills a chorale up to the longest."""
    if chorale.ndim != 2 or chorale.dtype.kind not in "iuf":
        return chorale
    sounding = np.flatnonzero((np.nan_to_num(chorale) > 0).any(axis=1))
    return chorale[: sounding[-1] + 1] if sounding.size else chorale[:0]


def _chords(chorale: Any, where: str) -> Chords:
    if not len(chorale):
        raise UserError(f"{where}: has no chords")
    return np.array(list(_rows(chorale, where)), np.int16)


def _rows(chorale: Any, where: str) -> Iterator[list[int]]:
    for number, chord in enumerate(chorale):
        row = chord.tolist() if isinstance(chord, np.ndarray) else chord
        if not isinstance(row, list) or len(row) != VOICE_COUNT:
            raise UserError(
                f"{where}, chord {number}: is not {VOICE_COUNT} pitches, one for each voice; use "
                "a file with Separated in its name, which has voices"
            )
        yield [_pitch(value, f"{where}, chord {number}, voice {v}") for v, value in enumerate(row)]


def _pitch(value: Any, where: str) -> int:
    if type(value) is float and math.isnan(value):
        return 0
    if type(value) not in (int, float) or math.isinf(value) or value != int(value):
        raise UserError(f"{where}: {str(value)[:40]!r} is not a pitch as a whole number")
    if value in (-1, 0):
        return 0
    if value not in PITCHES:
        raise UserError(f"{where}: {out_of_range(int(value))}")
    return int(value)
