"""A dry run: the files that a run would write, their size, and those that exist already."""

from collections import Counter
from typing import Any

import numpy as np

from rnnray.chorale.chords import VOICE_COUNT
from rnnray.chorale.generation import folder
from rnnray.chorale.generation.generation_options import (
    FORMATS,
    GenerationConfig,
    GenerationOptions,
)
from rnnray.chorale.generation.plan import (
    count_chorales,
    file_contents,
    is_written_by_runs,
    make_plan,
)
from rnnray.progress import say

_SUFFIXES = tuple(f".{suffix}" for suffix in FORMATS)


def dry_run(config: GenerationConfig, options: GenerationOptions) -> dict[str, Any]:
    """Print and return what `generate` would write; writes nothing, and needs no cluster.

    The size of a WAV is exact, because it follows from chords and tempo. The other sizes are those
    of an excerpt of Bach. The page and the manifest, some percent of the MIDI and MusicXML, are
    left out. Missing chorales are counted by whole parts, as for CPUs if no run has begun.

    Args:
        config: configuration of the chorales.
        options: storage and resources.

    Raises:
        UserError: see `generate`.
    """
    store = folder.open_run(options)
    plan = make_plan(options.name, config)
    saved = folder.saved_run(store, overwrite=options.overwrite)
    complete, missing = False, plan.parts()
    if saved is not None and not options.overwrite:
        plan = folder.begun(store, saved, plan)
        complete = folder.is_complete(store)
        missing = [plan.part(index) for index in folder.unfinished(store, plan)]
    chorales, to_compose = count_chorales(plan.parts()), count_chorales(missing)
    # As long as the composed chorales, even if no chorale of Bach's is that long.
    excerpt = np.resize(plan.bach[0][1], (config.chords, VOICE_COUNT))
    each = {suffix: len(content) for suffix, content in file_contents(excerpt, "", config).items()}
    there: Counter[str] = Counter()
    for entry in store.list():
        if is_written_by_runs(entry.key) and entry.key.endswith(_SUFFIXES):
            there.update(files=1, bytes=entry.size)
    pieces = chorales + len(plan.bach)
    sizes = {suffix: size * pieces for suffix, size in each.items()}
    say(
        f"{store.uri}: {chorales:,} chorales and {len(plan.bach)} excerpts of Bach, "
        f"{pieces * len(each):,} files, {sum(sizes.values()) / 1e9:.2f} GB; the page and the "
        "manifest are extra"
    )
    for suffix, size in sizes.items():
        say(f"    {suffix}: {each[suffix]:,} bytes a piece, {size / 1e9:.3f} GB")
    say(
        f"there already: {there['files']:,} files, {there['bytes'] / 1e9:.2f} GB"
        + (", which --overwrite deletes" if options.overwrite and there["files"] else "")
    )
    say(f"missing: {to_compose:,} chorales, {len(missing):,} of {len(plan.parts()):,} parts")
    return {
        "dry_run": True,
        "complete": complete,
        "output": store.uri,
        "chorales": chorales,
        "excerpts": len(plan.bach),
        "files": pieces * len(each),
        "bytes": sizes,
        "there": {"files": there["files"], "bytes": there["bytes"]},
        "missing": {"chorales": to_compose, "parts": len(missing)},
    }
