"""Every place that chorales come from.

`open_corpus` is the one door: `jsb`, `music21`, or a path or URI of an archive, a folder of CSV,
MIDI or MusicXML files, one such file, or Parquet.
"""

import tempfile
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rnnray import storage
from rnnray.archive import extract_tar
from rnnray.chorale.chords import Chords
from rnnray.chorale.csv_file import read_csv
from rnnray.chorale.jsb import jsb_folder
from rnnray.chorale.music21_corpus import open_music21
from rnnray.chorale.repairs import Repairs, described
from rnnray.chorale.scores import SUFFIXES, in_four_voices, read_score
from rnnray.chorale.table import Skipped, check, from_chorales, hashed_split
from rnnray.errors import UserError
from rnnray.progress import Every, say

_ARCHIVES = (".tgz", ".tar.gz", ".tar")
_SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
_LINES = 10  # of what was skipped; the rest is counted


def open_corpus(data: str) -> pa.Table:
    """Read a corpus of chorales, all of it.

    Args:
        data: `jsb` (Bach's chorales as in the book, downloaded to the cache), `music21` (those that
            the library carries), or a path or URI: an archive (.tgz, .tar) or folder of CSV, MIDI
            and MusicXML files in four voices, a single one, or Parquet of `table.SCHEMA`.

    Returns:
        A chorale table (see `table`). Splits are the folders train, valid (or validation) and
        test (the folder itself may be one); where there are none, `table.hashed_split`. A MIDI or
        MusicXML file that is no chorale in four voices is skipped: said on the way, and told by
        `table.skipped_of`. A CSV or Parquet file that is not right is an error.

    Raises:
        UserError: nothing is there, nothing that we know, or something in it is wrong.
    """
    if data == "jsb":
        data = str(jsb_folder())
    if data == "music21":
        return open_music21()
    if "://" not in data:
        return _read(Path(storage.absolute(data)))
    with tempfile.TemporaryDirectory() as temporary:
        path = PurePath(storage.open_uri(data)[1])
        # With its folder's name, which may be that of a split.
        folder = Path(temporary) / path.parent.name
        try:
            return _read(_fetch(data, folder / path.name))
        except UserError as error:
            raise UserError(str(error).replace(str(folder), data.rpartition("/")[0])) from error


def _fetch(uri: str, local: Path) -> Path:
    """A file or folder of an object store, copied to `local`, or itself where it is local."""
    filesystem, path = storage.open_uri(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path)
    storage.list_files(uri)  # says so where nothing is there
    content = storage.read_bytes(uri)
    local.parent.mkdir(exist_ok=True)
    if content is None:
        return storage.fetch_folder(uri, local)
    local.write_bytes(content)
    return local


def _read(path: Path) -> pa.Table:
    files = [Path(file) for file in storage.list_files(str(path))[1]]
    if files == [path] and path.name.lower().endswith(_ARCHIVES):
        with tempfile.TemporaryDirectory() as temporary:
            extract_tar(path, Path(temporary) / "content")
            try:
                return _read(Path(temporary) / "content")
            except UserError as error:
                raise UserError(str(error).replace(f"{temporary}/content", str(path))) from error
    if all(file.suffix.lower() == ".parquet" for file in files):
        return _read_parquet(path, files)
    known = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not known:
        raise UserError(
            f"{path}: no file that chorales are read from ({', '.join(SUFFIXES)}, .parquet, "
            f"{', '.join(_ARCHIVES)})" + (f", but {files[0].name}" if files != [path] else "")
        )
    return _read_files(path, known)


def _read_parquet(path: Path, files: list[Path]) -> pa.Table:
    tables = []
    for file in files:
        try:
            tables.append(check(pq.read_table(file, partitioning=None), str(file)))
        # TypeError and KeyError come from Ray's own types of columns.
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            line = str(error).partition("\n")[0]
            raise UserError(f"{file}: not a Parquet file that can be read ({line})") from error
    return tables[0] if len(tables) == 1 else check(pa.concat_tables(tables), str(path))


def _read_files(root: Path, files: list[Path]) -> pa.Table:
    chorales: dict[tuple[str, str], Chords] = {}
    skipped: list[Skipped] = []
    repairs = Repairs()
    every = Every()
    for number, (file, (split, name)) in enumerate(
        zip(files, _splits_and_names(root, files), strict=True)
    ):
        if every():
            say(f"{number} of {len(files)} files read")
        reason = ""
        if not split:
            reason = "lies beside the folders train, valid and test"
        elif (split, name) in chorales:
            reason = "there is another file of this name"
        elif file.suffix.lower() == ".csv":
            chorales[split, name] = read_csv(storage.read_bytes(str(file)) or b"", str(file))
        else:
            try:
                voices, changed = read_score(file)
                chorales[split, name] = in_four_voices(voices, str(file))
                repairs += changed
            except UserError as error:
                reason = str(error).removeprefix(str(file)).lstrip(":, ")
        if reason:
            skipped.append((file.name if file == root else str(file.relative_to(root)), reason))
    if not chorales:
        first, reason = skipped[0]
        among = "" if files == [root] else f": none of its files is a chorale; {first}"
        raise UserError(f"{root}{among}: {reason}")
    _report(skipped, repairs)
    return from_chorales(
        [(name, split, chords) for (split, name), chords in chorales.items()], skipped
    )


def _splits_and_names(root: Path, files: list[Path]) -> list[tuple[str, str]]:
    """The split and the name of each file; split "" for those outside of the splits' folders."""
    found = []
    for file in files:
        # The root's own name counts too: the corpus may be the test folder of another one.
        top = root.parent if file == root else root
        folders = top.name, *file.relative_to(top).parts[:-1]
        places = [i for i, folder in enumerate(folders) if folder.lower() in _SPLIT_FOLDERS]
        found.append(
            (
                _SPLIT_FOLDERS[folders[places[-1]].lower()] if places else "",
                "/".join((*folders[places[-1] + 1 :], file.stem)) if places else "",
            )
        )
    if any(split for split, _ in found):
        return found
    # Without what all have in common, so that an archive's top folder changes no name.
    parents = [set(file.parents) for file in files]
    top = max(set.intersection(*parents), key=lambda folder: len(folder.parts))
    names = ["/".join(file.relative_to(top).with_suffix("").parts) for file in files]
    return [(hashed_split(name), name) for name in names]


def _report(skipped: list[Skipped], repairs: Repairs) -> None:
    for file, reason in skipped[:_LINES]:
        say(f"skipped {file}: {reason}")
    if len(skipped) > _LINES:
        say(f"skipped {len(skipped) - _LINES} more files")
    for line in described(repairs):
        say(line)
