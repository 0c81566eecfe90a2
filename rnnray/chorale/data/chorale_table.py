"""The chorale table: chorales as Arrow, and Arrow as chords.

Columns: `name: string`, `split: string` (train, valid or test), `chords:
list<fixed_size_list<int16, 4>>`: soprano, alto, tenor, bass; MIDI pitch from 36 to 81, 0 = silence;
one chord a sixteenth note. Rows are sorted by split, then by name. The schema's metadata name the
files that the source had to skip.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnray import splits
from rnnray.chorale.chords import HIGHEST_PITCH, LOWEST_PITCH, PITCHES, VOICE_COUNT, Chords
from rnnray.errors import UserError

Skipped = tuple[str, str]  # name of a file, and the reason why it is not in the table

SPLITS = ("train", "valid", "test")
SPLIT_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
"""Accepted names of splits, and the tables' own, which are those of the chorale archive."""
SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("split", pa.string()),
        pa.field("chords", pa.list_(pa.list_(pa.int16(), VOICE_COUNT))),
    ]
)
_SKIPPED = b"skipped"


def from_chorales(
    chorales: Iterable[tuple[str, str, Chords]], skipped: Sequence[Skipped] = ()
) -> pa.Table:
    """Return a chorale table, sorted.

    Args:
        chorales: name, split (one of `SPLITS`) and chords (int16 [n, 4]) of each.
        skipped: skipped files, for `skipped_of`.
    """
    rows = sorted(chorales, key=lambda row: (SPLITS.index(row[1]), row[0]))
    chords = [np.asarray(row[2], np.int16).reshape(-1, VOICE_COUNT) for row in rows]
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(piece) for piece in chords], out=offsets[1:])
    flat = np.concatenate([*chords, np.zeros((0, VOICE_COUNT), np.int16)])
    columns = [
        pa.array([row[0] for row in rows], pa.string()),
        pa.array([row[1] for row in rows], pa.string()),
        pa.ListArray.from_arrays(
            offsets, pa.FixedSizeListArray.from_arrays(flat.reshape(-1), VOICE_COUNT)
        ),
    ]
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    return table.replace_schema_metadata({_SKIPPED: json.dumps(skipped)}) if skipped else table


def skipped_of(table: pa.Table) -> list[Skipped]:
    """Return the name of each file of the source that is not in the table, and the reason.

    Raises:
        ValueError: the schema's metadata are of another form.
    """
    try:
        pairs = json.loads((table.schema.metadata or {}).get(_SKIPPED, b"[]"))
    except RecursionError as error:  # brackets nested thousands deep
        raise ValueError("what was skipped is no list of pairs") from error
    if not isinstance(pairs, list) or any(
        not isinstance(pair, list) or [type(text) for text in pair] != [str, str] for pair in pairs
    ):
        raise ValueError("what was skipped is no list of pairs")
    return [(name, reason) for name, reason in pairs]


def chords_of(table: pa.Table) -> list[Chords]:
    """Return the chords of each chorale, int16 [n, 4], in the table's order."""
    if len(table) == 0:
        return []
    column = table["chords"].combine_chunks()
    ends = np.cumsum(pc.list_value_length(column).to_numpy())
    flat = column.flatten().flatten().to_numpy().reshape(-1, VOICE_COUNT)
    return np.split(flat, ends[:-1])


def select(table: pa.Table, split: str) -> pa.Table:
    """Return the chorales of one split, by a name in `SPLIT_NAMES`.

    Raises:
        UserError: no such split, or an empty one.
    """
    if split not in SPLIT_NAMES:
        raise UserError(f"split {split!r} does not exist; the splits are {', '.join(SPLITS)}")
    chosen = table.filter(pc.equal(table["split"], SPLIT_NAMES[split]))
    if len(chosen) == 0:
        present = [f"{len(names)} in {name}" for name, names in _names(table) if names]
        raise UserError(
            f"split {split!r}: the data have no chorales there, only "
            f"{', '.join(present) or 'none'}; put files into folders "
            "train, valid and test, or train with --split 80:10:10"
        )
    return chosen


def named(table: pa.Table, which: str) -> tuple[str, Chords]:
    """Return one chorale, as its name and its chords (int16 [n, 4]).

    Args:
        table: a chorale table.
        which: the chorale's name; or `test:2` for the third one of the test split in the table's
            order.

    Raises:
        UserError: there is no such chorale, or several have the name.
    """
    split, colon, index = which.rpartition(":")
    names = table["name"].to_pylist()
    if colon and which not in names:
        chosen = select(table, split)
        if not (index.isascii() and index.isdigit()):
            raise UserError(
                f"{which!r}: {index!r} is not a whole number of at least 0; write {split}:2"
            )
        if int(index) >= len(chosen):
            raise UserError(
                f"{which!r}: {split} has {len(chosen)} chorales, {split}:0 to "
                f"{split}:{len(chosen) - 1}"
            )
        row = chosen.slice(int(index), 1)
        return row["name"][0].as_py(), chords_of(row)[0]
    found = [row for row, name in enumerate(names) if name == which]
    if not found:
        some = f", such as {names[0]}" if names else ""
        raise UserError(
            f"{which!r}: no such chorale; use a name{some}, or SPLIT:INDEX, such as test:2"
        )
    if len(found) > 1:
        keys = [
            f"{split}:{members.index(which)}"
            for split, members in _names(table)
            if which in members
        ]
        raise UserError(f"{which!r}: names {len(found)} chorales; write {' or '.join(keys)}")
    return which, chords_of(table.slice(found[0], 1))[0]


def check(table: pa.Table, where: str) -> pa.Table:
    """Check a table from elsewhere, and return it in the form of `from_chorales`.

    Args:
        table: table with the columns of `SCHEMA`, in any order and integer width.
        where: name of the file, for messages.

    Raises:
        UserError: columns, splits or pitches are wrong.
    """
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise UserError(
            f"{where}: no column {missing[0]!r}; a chorale table has {', '.join(SCHEMA.names)}"
        )
    metadata = {
        key: value for key, value in (table.schema.metadata or {}).items() if key == _SKIPPED
    }
    try:
        table = table.select(SCHEMA.names).cast(SCHEMA.with_metadata(metadata))
    except (pa.ArrowException, ValueError) as error:
        raise UserError(
            f"{where}: its columns are not those of a chorale table ({error})"
        ) from error
    nulls = [name for name in SCHEMA.names if table[name].null_count]
    if nulls:
        raise UserError(f"{where}: column {nulls[0]!r} has {table[nulls[0]].null_count} nulls")
    if len(table) == 0:
        raise UserError(f"{where}: has no chorales")
    rows_of_four = table["chords"].combine_chunks().flatten()
    if rows_of_four.null_count or rows_of_four.flatten().null_count:
        raise UserError(f"{where}: column 'chords' has nulls; silence is 0")
    names, there = table["name"].to_pylist(), table["split"].to_pylist()
    rows = []
    for row, (name, split, chords) in enumerate(zip(names, there, chords_of(table), strict=True)):
        if split not in SPLITS:
            raise UserError(f"{where}, row {row}, {name}: split {split!r} is none of {SPLITS}")
        # Names become file names below a folder that the user gives.
        if {"", ".", ".."} & set(name.split("/")) or not name.isprintable():
            raise UserError(f"{where}, row {row}: {name!r} cannot be the name of a file")
        if len(chords) == 0:
            raise UserError(f"{where}, row {row}, {name}: has no chords")
        bad = np.argwhere((chords != 0) & ((chords < LOWEST_PITCH) | (chords > HIGHEST_PITCH)))
        if len(bad):
            chord, voice = bad[0]
            raise UserError(
                f"{where}, row {row}, {name}, chord {chord}, voice {voice}: "
                f"{out_of_range(int(chords[chord, voice]))}"
            )
        rows.append((name, split, chords))
    return from_chorales(rows, skipped_of(table))


def hashed_split(name: str) -> str:
    """Return the split of a chorale whose source has none: 80 % train, 10 % valid, 10 % test.

    It depends on the name alone, so that further chorales do not move earlier ones to another.
    """
    tenth = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10
    return {8: "valid", 9: "test"}.get(tenth, "train")


def divide(corpus: pa.Table, split: str, data: str) -> pa.Table:
    """Divide the pieces of a corpus by a hash of their names, in exactly the given shares.

    See `splits.divided`. Unlike with `hashed_split`, further pieces may move earlier ones to
    another split.

    Args:
        corpus: a chorale table.
        split: see `TrainingConfig.split`.
        data: the source, for messages.

    Raises:
        UserError: the source has splits of its own.
    """
    names, there = corpus["name"].to_pylist(), corpus["split"].to_pylist()
    pairs = zip(names, there, strict=True)
    own = len(set(there)) > 1 and any(hashed_split(name) != its for name, its in pairs)
    splits.check_undivided(data, split, has_splits=own)
    ours = dict(zip(splits.SPLITS, SPLITS, strict=True))
    chosen = [ours[name] for name in splits.divided(names, split)]
    column = pa.array(chosen, pa.string())
    divided = corpus.set_column(corpus.schema.get_field_index("split"), "split", column)
    # In the order of `from_chorales`.
    rows = sorted(range(len(names)), key=lambda row: (SPLITS.index(chosen[row]), names[row]))
    return divided.take(rows)


def out_of_range(pitch: int, pitches: range = PITCHES) -> str:
    """Return the error message for a pitch that no chorale, or no melody, may have."""
    return (
        f"pitch {pitch} is neither 0 (silence) nor a MIDI pitch from {pitches[0]} to {pitches[-1]}"
    )


def _names(table: pa.Table) -> list[tuple[str, list[str]]]:
    """Return the names in each split, in the table's order."""
    pairs = list(zip(table["split"].to_pylist(), table["name"].to_pylist(), strict=True))
    return [(split, [name for its, name in pairs if its == split]) for split in SPLITS]
