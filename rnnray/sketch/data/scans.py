"""One pass over files with words: words, numbers of drawings; and the hash that divides drawings.

Results are saved for later runs in `cache_folder()/scans`, a JSON file for each source. A result is
used again while the file's size and modification time are the same, until 90 days after its last
use.
"""

import hashlib
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import ray
from pyarrow import fs

from rnnray import storage
from rnnray.download import cache_folder
from rnnray.errors import UserError
from rnnray.progress import Every, say
from rnnray.sketch.data.ndjson import Drawing

_KEPT_SECONDS = 90 * 24 * 3600
# A file that was just changed may change again within the clock's resolution.
_SETTLED_SECONDS = 2.0
# Limit of tasks: a folder may have thousands of small files.
_TASKS = 1000


def position_of(ink: npt.NDArray[np.float32], key_id: str | None = None) -> float:
    """Return a number from 0 to 100 that stays with a drawing: a hash of its `key_id`, or its ink.

    Not by the position in the file, so that a drawing and its copies stay in one split when files
    are cut, joined or sorted differently. The whole part is the percentage; the rest keeps the
    order of hashes of the same percentage.

    Args:
        ink: the drawing, float32 [n, 3].
        key_id: the data set's own name for the drawing.
    """
    number = zlib.crc32(key_id.encode() if key_id else ink.tobytes())
    return number % 100 + number // 100 / 2**26


@dataclass(frozen=True)
class Share:
    """The drawings whose `position_of` is at least `first` and less than `end`."""

    first: float
    end: float
    recognized_only: bool = False
    """Leave out drawings that are marked as not recognised by the game."""

    def __call__(self, drawing: Drawing) -> bool:
        """Return whether a drawing is in the share."""
        if self.recognized_only and drawing.recognized is False:
            return False
        return self.has(position_of(drawing.ink, drawing.key_id))

    def has(self, position: float) -> bool:
        """Return whether a position is in the share."""
        return self.first <= position < self.end


@dataclass(frozen=True)
class Scan:
    """The words of a file's drawings, and their number."""

    words: dict[str, int]
    """Number of drawings of each word."""
    percents: tuple[int, ...]
    """Number of drawings with each whole `position_of`, 100 numbers."""
    unrecognized: tuple[int, ...]
    """Number of those that the game did not recognise, 100 numbers."""
    judged: int
    """Number of drawings that say whether the game recognised them."""
    bad: int
    """Number of records that are no drawings."""

    def count(self, share: Share | None) -> int:
        """Return the number of drawings in a share of whole bounds, or of all without one."""
        if share is None:
            return sum(self.percents)
        chosen = slice(int(share.first), int(share.end))
        left_out = sum(self.unrecognized[chosen]) if share.recognized_only else 0
        return sum(self.percents[chosen]) - left_out


def scan(drawings: Iterable[Drawing], bad: list[UserError]) -> Scan:
    """Read all drawings; their reader adds the errors of bad records to `bad` meanwhile."""
    words: Counter[str] = Counter()
    percents, unrecognized, judged = [0] * 100, [0] * 100, 0
    for drawing in drawings:
        percent = int(position_of(drawing.ink, drawing.key_id))
        percents[percent] += 1
        unrecognized[percent] += drawing.recognized is False
        judged += drawing.recognized is not None
        if drawing.word is not None:
            words[drawing.word] += 1
    return Scan(dict(words), tuple(percents), tuple(unrecognized), judged, len(bad))


class ScannedFile(NamedTuple):
    """A file to scan, or one in an archive."""

    path: str
    member: str | None
    scan: Callable[[], Scan]
    """Scans the file in a process of the cluster; raises for a bad record unless it is skipped."""


def scan_files(
    data: str,
    filesystem: fs.FileSystem,
    files: Sequence[ScannedFile],
    *,
    skip_bad: bool,
    reading: Mapping[str, Any],
) -> list[Scan]:
    """Scan files in parallel on the cluster, except those whose scan is saved.

    Args:
        data: path or URI of the source, for messages, and for the name of the saved scans.
        filesystem: file system of the files.
        files: files of the source.
        skip_bad: whether a saved scan of a file with bad records may be used.
        reading: Ray's options of the reading tasks.

    Raises:
        UserError: raised by `ScannedFile.scan`.
    """
    kept_file = _kept_file(data)
    kept = _read(kept_file)
    infos = filesystem.get_file_info(list(dict.fromkeys(file.path for file in files)))
    if any(info.mtime_ns is None for info in infos):  # a store that does not tell times
        kept_file = None
    states = {info.path: f"{info.size} {info.mtime_ns}" for info in infos}
    keys = [f"{states.get(file.path)} {file.path}/{file.member or ''}" for file in files]
    found = {key: kept[key] for key in keys if key in kept and (skip_bad or not kept[key].bad)}
    missing = [(key, file) for key, file in zip(keys, files, strict=True) if key not in found]
    if missing:
        found |= _scan_on_cluster(data, missing, reading)
        newest = max((info.mtime_ns or 0) / 1e9 for info in infos)
        if kept_file and time.time() - newest > _SETTLED_SECONDS:
            _write(kept_file, {key: found[key] for key in keys})
    elif kept_file:
        kept_file.touch()
    return [found[key] for key in keys]


def _scan_on_cluster(
    data: str, missing: list[tuple[str, ScannedFile]], reading: Mapping[str, Any]
) -> dict[str, Scan]:
    progress = Every()
    task = ray.remote(lambda files: [file.scan() for _, file in files]).options(**reading)
    size = -(-len(missing) // _TASKS)
    batches = [missing[first : first + size] for first in range(0, len(missing), size)]
    waiting = {task.remote(batch): batch for batch in batches}
    found: dict[str, Scan] = {}
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=1.0)
        for reference in done:
            keys = [key for key, _ in waiting.pop(reference)]
            found |= dict(zip(keys, ray.get(reference), strict=True))
        if progress():
            count = sum(each.count(None) for each in found.values())
            say(f"{data}: words of {count:,} drawings, {len(found)} of {len(missing)} files read")
    return found


def _kept_file(data: str) -> Path | None:
    try:
        folder = cache_folder() / "scans"
    except UserError:  # no home: then nothing is saved
        return None
    return folder / f"{hashlib.sha256(storage.absolute(data).encode()).hexdigest()[:32]}.json"


def _read(file: Path | None) -> dict[str, Scan]:
    """Return the saved scans; empty if the file is absent or damaged."""
    if file is None:
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        scans = {
            str(key): Scan(
                dict(value["words"]),
                tuple(value["percents"]),
                tuple(value["unrecognized"]),
                int(value["judged"]),
                int(value["bad"]),
            )
            for key, value in content.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {
        key: each
        for key, each in scans.items()
        if len(each.percents) == len(each.unrecognized) == 100
    }


def _write(file: Path, scans: dict[str, Scan]) -> None:
    content = json.dumps({key: asdict(each) for key, each in scans.items()})
    try:
        storage.write_bytes(str(file), content.encode())
        for other in file.parent.glob("*.json"):
            if other.stat().st_mtime < time.time() - _KEPT_SECONDS:
                other.unlink(missing_ok=True)
    except (OSError, UserError) as error:
        say(f"the words of the drawings cannot be saved for the next run ({error})")
