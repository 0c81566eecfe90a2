"""The report after reading a folder of chorales: number of files used, reasons for the others."""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rnnray import storage
from rnnray.chorale.data.chorale_table import Skipped
from rnnray.chorale.data.repairs import Repairs, described
from rnnray.download import cache_folder
from rnnray.errors import UserError
from rnnray.progress import say

SAME_MUSIC = "the same music as"
_LINES = 12  # reasons that are printed; the file lists the rest


def report(where: str, total: int, skipped: Sequence[Skipped], repairs: Repairs) -> None:
    """Print the number of used files and of repairs, and write a list of the other files.

    Args:
        where: the user's name of the source.
        total: number of files.
        skipped: name and reason of each file that was not used.
        repairs: repairs in the files that were used.
    """
    if skipped:
        say(f"{where}: {total - len(skipped):,} of {total:,} files taken; not taken:")
        counts = commonest(skipped)
        for count, kind, example in counts[:_LINES]:
            say(f"    {count:>5,} {kind}, such as {example}" if count > 1 else
                f"    {count:>5,} {kind}: {example}")  # fmt: skip
        if len(counts) > _LINES:
            rest = sum(count for count, _, _ in counts[_LINES:])
            say(f"    {rest:>5,} for {len(counts) - _LINES} other reasons")
        _write_list(where, skipped)
    for line in described(repairs):
        say(line)


def commonest(skipped: Sequence[Skipped]) -> list[tuple[int, str, str]]:
    """Return number, kind of reason, and an example's name, the commonest first."""
    kinds = [kind_of(reason) for _, reason in skipped]
    return [
        (count, kind, skipped[kinds.index(kind)][0]) for kind, count in Counter(kinds).most_common()
    ]


def kind_of(reason: str) -> str:
    """Return a reason without positions, names and advice; numbers become N, except the voices'."""
    if reason.startswith(SAME_MUSIC):
        return f"{SAME_MUSIC} another one"
    kind = re.sub(r" ?\(.*\)", "", reason).partition("; ")[0]
    # "Soprano, measure 3: …", "line 1: …", and "tune.mid, …" before that.
    after = re.match(r"[^:]*\b(?:measure|bar|quarter note|line|chord|byte|row)\b[^:]*: (.+)", kind)
    kind = after[1] if after else kind
    if kind.startswith("pitch "):
        return "a pitch out of range"
    return kind if re.match(r"has \d+ voices?\b", kind) else re.sub(r"-?\d+", "N", kind)


def _write_list(where: str, skipped: Sequence[Skipped]) -> None:
    digest = hashlib.sha256(where.encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]+", "_", Path(where).name) or "corpus"
    text = io.StringIO()
    csv.writer(text).writerows([("file", "reason"), *skipped])
    try:
        file = cache_folder() / "not_taken" / f"{name}-{digest}.csv"
        storage.write_bytes(str(file), text.getvalue().encode())
    except (UserError, OSError) as error:  # a failed report must not end a run
        say(f"the list of these files cannot be written: {error}")
    else:
        say(f"the list of these files, with reasons: {file}")
