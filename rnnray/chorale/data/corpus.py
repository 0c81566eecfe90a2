"""All sources of chorales.

`open_corpus` opens each of them: `jsb`, `music21`, or a path or URI of an archive, a folder of CSV,
MIDI, MusicXML or Humdrum files, `Jsb16thSeparated` files, one such file, or Parquet.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rnnray import storage
from rnnray.archive import extract_tar
from rnnray.chorale.chords import Chords
from rnnray.chorale.data import scores, separated
from rnnray.chorale.data.chorale_table import (
    SPLIT_NAMES,
    Skipped,
    check,
    divide,
    from_chorales,
    hashed_split,
)
from rnnray.chorale.data.corpus_report import SAME_MUSIC, report
from rnnray.chorale.data.csv_file import read_csv
from rnnray.chorale.data.jsb import jsb_folder
from rnnray.chorale.data.music21_corpus import open_music21, same_music
from rnnray.chorale.data.repairs import Repair, Repairs
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.splits import split_of
from rnnray.zip_archive import extract_zip

_TARS, _ZIP, _PARQUET = (".tgz", ".tar.gz", ".tar"), ".zip", ".parquet"
_READ = (*scores.SUFFIXES, *separated.SUFFIXES, _PARQUET)
# A CSV with another header is not a faulty chorale, but metadata or the like.
_CHORDS_HEADER = re.compile(rb'(\xef\xbb\xbf)?\s*"?\s*note\d|(\xef\xbb\xbf)?\s*\Z')


class _Piece(NamedTuple):
    split: str
    name: str
    chords: Chords
    file: str = ""  # for messages
    hashed: bool = False  # whether a hash of the name decides the split


class _PassedOverError(Exception):
    """A file is no chorale; the message has the reason."""


def open_corpus(data: str, *, split: str | None = None) -> pa.Table:
    """Read a whole corpus of chorales.

    Splits are the folders train, valid (validation, val, dev) and test (the folder itself may be
    one), or a `separated` file's own splits. Without any, `chorale_table.hashed_split` decides.
    Music that an earlier file has too is then skipped, because it could come into two splits. A
    file that is no chorale in four voices is skipped, counted by reason, and named by
    `chorale_table.skipped_of`. A faulty CSV of chords or Parquet file is an error.

    Args:
        data: one of
            `jsb`: Bach's chorales as in the book, downloaded to the cache;
            `music21`: the chorales in that library;
            a path or URI: an archive (.zip, .tgz, .tar) or folder of CSV, MIDI, MusicXML, Humdrum
                and `separated` files in four voices, a single one, or Parquet of
                `chorale_table.SCHEMA`.
        split: see `TrainingConfig.split`.

    Returns:
        A chorale table (see `chorale_table`).

    Raises:
        UserError: nothing is there, the format is unknown, the content is faulty, or a corpus with
            splits is to be divided.
    """
    corpus = _open(data)
    return corpus if split is None else divide(corpus, split, data)


def _open(data: str) -> pa.Table:
    if data == "jsb":
        folder = jsb_folder()
        return _read_files(folder, _files(folder), str(folder), twins=False)
    if data == "music21":
        return open_music21()
    if "://" not in data:
        return _read(Path(storage.absolute(data)), data)
    with tempfile.TemporaryDirectory() as temporary:
        path = PurePath(storage.open_uri(data)[1])
        # Keeps the folder's name, which may be that of a split.
        folder = Path(temporary) / path.parent.name
        try:
            return _read(_fetch(data, folder / path.name), data)
        except UserError as error:
            raise UserError(str(error).replace(str(folder), data.rpartition("/")[0])) from error


def _fetch(uri: str, local: Path) -> Path:
    """Return a file or folder itself if it is local, or a copy of it in `local`."""
    filesystem, path = storage.open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path)
    storage.list_files(uri)  # raises if nothing is there
    content = storage.read_bytes(uri)
    local.parent.mkdir(exist_ok=True)
    if content is None:
        return storage.fetch_folder(uri, local)
    local.write_bytes(content)
    return local


def _files(path: Path) -> list[Path]:
    return [Path(file) for file in storage.list_files(str(path))[1]]


def _read(path: Path, shown: str) -> pa.Table:
    files = _files(path)
    name = path.name.lower()
    if files != [path] or not name.endswith((*_TARS, _ZIP)):
        return _read_files(path, files, shown)
    with tempfile.TemporaryDirectory() as temporary:
        content = Path(temporary) / "content"
        (extract_zip if name.endswith(_ZIP) else extract_tar)(path, content)
        try:
            return _read_files(content, _files(content), shown)
        except UserError as error:
            raise UserError(str(error).replace(str(content), str(path))) from error


def _read_files(root: Path, files: list[Path], shown: str, *, twins: bool = True) -> pa.Table:
    """Return the chorales of some files.

    Args:
        root: the folder, or the one file.
        files: all files below it.
        shown: the user's name of the source.
        twins: look for the same music in several files.
    """
    reasons = {file: _no_chorale(file, alone=files == [root]) for file in files}
    skipped = [(_name(root, file), reason) for file, reason in reasons.items() if reason]
    known = [file for file, reason in reasons.items() if not reason]
    if not known:
        raise UserError(
            f"{root}: no file of chorales in a known format ({', '.join((*_READ, *_TARS, _ZIP))})"
            + (f", but {files[0].name}" if files != [root] else "")
        )
    if all(file.suffix.lower() == _PARQUET for file in known):
        read = _read_parquet(root, known)
        report(shown, len(files), skipped, Repairs())
        return read
    pieces: dict[tuple[str, str], _Piece] = {}
    taken: set[tuple[str, str]] = set()
    repairs = Repairs()
    every = Every()
    named, hashed = _splits_and_names(root, known)
    for number, (file, (split, name)) in enumerate(zip(known, named, strict=True)):
        if every():
            say(f"{number} of {len(known)} files read")
        try:
            if (split, name) in taken or (split, name) in pieces:
                raise _PassedOverError("there is another file of this name")
            for piece in _pieces(file, split, name, hashed, repairs):
                pieces[piece.split, piece.name] = piece._replace(file=_name(root, file))
            taken.add((split, name))  # pieces of one file may have other names
        except _PassedOverError as error:
            skipped.append((_name(root, file), str(error)))
    if not pieces:
        first, reason = skipped[-1]
        among = "" if files == [root] else f": none of its files is a chorale; {first}"
        raise UserError(f"{root}{among}: {reason}")
    if twins:
        skipped += _without_twins(pieces)
    skipped.sort()
    report(shown, len(files), skipped, repairs)
    return from_chorales(
        [(piece.name, piece.split, piece.chords) for piece in pieces.values()], skipped
    )


def _name(root: Path, file: Path) -> str:
    return file.name if file == root else str(file.relative_to(root))


def _no_chorale(file: Path, *, alone: bool) -> str:
    """Return the reason to pass over a file without reading it; empty for a file to read."""
    suffix = file.suffix.lower()
    if file.name.lower().endswith((*_TARS, _ZIP)):
        return "an archive inside a folder or an archive is not unpacked"
    if suffix not in _READ:
        return f"chorales cannot be read from {suffix or 'files without a suffix'}"
    if suffix == ".csv" and not alone:
        with file.open("rb") as content:
            if not _CHORDS_HEADER.match(content.read(1 << 12)):
                return "a CSV of something other than chords"
    return ""


def _pieces(file: Path, split: str, name: str, hashed: bool, repairs: Repairs) -> Iterator[_Piece]:
    """Yield the chorales of a file; count the repairs in it."""
    suffix = file.suffix.lower()
    if not split:
        raise _PassedOverError("is outside the folders train, valid and test")
    if suffix == _PARQUET:
        raise _PassedOverError("Parquet is read only if there are no other files of chorales")
    if suffix == ".csv":
        chords = read_csv(storage.read_bytes(str(file)) or b"", str(file))
        yield _Piece(split, name, chords, hashed=hashed)
        return
    try:
        if suffix in separated.SUFFIXES:
            content = storage.read_bytes(str(file)) or b""
            for its, number, chords in separated.read_separated(content, suffix, str(file)):
                yield _Piece(its, f"{name}_{number}", chords)
            return
        score = scores.read_score(file)
        yield _Piece(split, name, scores.in_four_voices(score.voices, str(file)), hashed=hashed)
        repairs.update(score.repairs)
        repairs[Repair.METRE] += bool(score.metre.name)
        repairs[Repair.UPBEAT] += bool(score.metre.upbeat)
    except UserError as error:
        raise _PassedOverError(str(error).removeprefix(str(file)).lstrip(":, ")) from error


def _without_twins(pieces: dict[tuple[str, str], _Piece]) -> list[Skipped]:
    """Remove repeated music if names decide the splits; otherwise report it between splits."""
    kept: list[_Piece] = []
    skipped: list[Skipped] = []
    across: list[str] = []
    every, count = Every(), len(pieces)
    for number, (key, piece) in enumerate(list(pieces.items())):
        if every():
            say(f"compared {number} of {count} pieces with each other")
        others = (other for other in kept if piece.hashed or other.split != piece.split)
        twin = next((other for other in others if same_music(piece.chords, other.chords)), None)
        if twin is not None and piece.hashed:
            del pieces[key]
            skipped.append((piece.file, f"{SAME_MUSIC} {twin.file}"))
            continue
        kept.append(piece)
        if twin is not None:
            across.append(f"{piece.split}/{piece.name} and {twin.split}/{twin.name}")
    if across:
        say(f"the same music is in two splits in {len(across)} cases, such as {across[0]}")
    return skipped


def _read_parquet(path: Path, files: list[Path]) -> pa.Table:
    tables = []
    for file in files:
        try:
            tables.append(check(pq.read_table(file, partitioning=None), str(file)))
        # TypeError and KeyError come from Ray's own types of columns.
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            line = str(error).partition("\n")[0]
            raise UserError(f"{file}: cannot be read as Parquet ({line})") from error
    return tables[0] if len(tables) == 1 else check(pa.concat_tables(tables), str(path))


def _splits_and_names(root: Path, files: list[Path]) -> tuple[list[tuple[str, str]], bool]:
    """Return the split and the name of each file, and whether the names decide the splits.

    The split is "" for files outside the splits' folders.
    """
    found = []
    for file in files:
        # The root's own name counts too: the corpus may be the test folder of another one.
        top = root.parent if file == root else root
        folders = top.name, *file.relative_to(top).parts[:-1]
        at = [i for i, folder in enumerate(folders) if split_of(folder)]
        found.append(
            (
                SPLIT_NAMES[split_of(folders[at[-1]]) or ""] if at else "",
                "/".join((*folders[at[-1] + 1 :], file.stem)) if at else "",
            )
        )
    if any(split for split, _ in found):
        return found, False
    # Without the folders that all files share, so that an archive's top folder changes no name.
    parents = [set(file.parents) for file in files]
    top = max(set.intersection(*parents), key=lambda folder: len(folder.parts))
    names = ["/".join(file.relative_to(top).with_suffix("").parts) for file in files]
    return [(hashed_split(name), name) for name in names], True
