"""A static page to listen to compositions, and to guess which piece is Bach's.

The browser loads its data by `<script src>`, which unlike fetch also works from a local folder, and
loads only the data that it shows. index.html names the temperatures. figures.js of each temperature
has the names and statistics of its pieces, to sort and filter by. The notes are in files of `CHUNK`
pieces each.
"""

import base64
import html
import json
import math
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import groupby, islice
from string import Template
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from rnnray.chorale.chords import VOICE_COUNT, Chords
from rnnray.chorale.render.sound_files import SOUNDS

CHUNK = 100
"""Number of pieces in a file of notes."""

_SCRIPTS = (
    "data.js",
    "roll.js",
    "player.js",
    "list.js",
    "averages.js",
    "quiz.js",
    "result.js",
    "page.js",
)
FILES = ("page.css", *_SCRIPTS)
"""Names of the files in page/ that every page has."""
_HIGHEST = 127  # highest MIDI pitch; one byte a note
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True)
class Piece:
    """A piece to listen to."""

    name: str
    """Name on the page, below its temperature: 000012, or Bach's test 12."""
    temperature: float | None
    """None for a real piece, by Bach."""
    chords: Chords
    statistics: Mapping[str, float]
    """Statistics by name, such as nats_per_note and those of a `Critique`; one that is missing or
    not finite is shown as a dash.
    """
    files: Mapping[str, str]
    """Keys of its files by suffix, such as mid, musicxml, and wav, flac or ogg, of which the page
    plays one.
    """


@dataclass(frozen=True)
class PageFile:
    """A file of the page."""

    key: str
    """Key relative to the run, '/'-separated."""
    content: bytes
    content_type: str


def build(
    title: str,
    tempo: float,
    pieces: Iterable[Piece],
    *,
    rules: str = "",
    bach: Mapping[str, float] = {},
    link: Callable[[str], str],
) -> Iterator[PageFile]:
    """Yield the files of the page, index.html last, while the pieces arrive.

    Args:
        title: heading of the page; any text.
        tempo: quarter notes a minute, as in the pieces' sound; moves the playhead.
        pieces: all pieces, those of each temperature together. No more than `CHUNK` of them are
            held, and the names and statistics of one temperature.
        rules: rules that the composer kept, for the page's text; empty for none.
        bach: Bach's means, shown beside the statistics of each piece, and the number of `chorales`
            in them; a missing mean is that of the pieces by Bach.
        link: returns the address of a key of the run: the key itself if the page is beside it, or a
            presigned URL. It is called for every file of every piece and of the page.

    Raises:
        ValueError: (while iterating) the tempo is not finite or not above 0, a temperature comes
            twice, or chords are not [n, 4], n > 0, or not from 0 to 127.
    """
    if not (math.isfinite(tempo) and tempo > 0):
        raise ValueError(f"tempo {tempo}: not above 0")
    for name in FILES:
        yield _file(f"page/{name}", resources.files(__name__).joinpath(name).read_bytes())
    groups: list[dict[str, Any]] = []
    for temperature, group in groupby(pieces, key=lambda piece: piece.temperature):
        key = "bach" if temperature is None else f"{temperature:g}"
        if any(key == other["key"] for other in groups):
            raise ValueError(f"pieces of {key} do not come one after the other")
        groups.append((yield from _group(key, group, link)))
    run: dict[str, Any] = {
        "tempo": tempo,
        "chunk": CHUNK,
        "rules": rules,
        "figures": list(dict.fromkeys(name for group in groups for name in group["means"])),
        "bach": next((group["means"] for group in groups if group["key"] == "bach"), {})
        | {name: _number(mean) for name, mean in bach.items() if name != "chorales"},
        "bach_chorales": bach.get("chorales"),
        "groups": groups,
    }
    page = Template(resources.files(__name__).joinpath("page.html").read_text("utf-8"))
    index = page.substitute(
        title=html.escape(title),
        policy=html.escape(_policy(link("index.html"))),
        css=html.escape(link("page/page.css")),
        scripts="\n".join(
            f'<script src="{html.escape(link(f"page/{name}"))}"></script>' for name in _SCRIPTS
        ),
        run=_json(run),
    )
    yield _file("index.html", index.encode())


def _policy(address: str) -> str:
    """Return the content security policy: only the page's own files, from the origin of `address`.

    No part of the page is inline except its data, which no browser runs, so no hash is needed. In a
    local folder, some browsers need file: beside 'self'; no page of a server may load from it.
    """
    parts = urlsplit(address)
    own = f"'self' {parts.scheme}://{parts.netloc}" if parts.netloc else "'self' file:"
    return (
        f"default-src 'none'; script-src {own}; style-src {own}; media-src {own}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _group(
    key: str, pieces: Iterator[Piece], link: Callable[[str], str]
) -> Generator[PageFile, None, dict[str, Any]]:
    """Yield the files of one temperature; return its entry in index.html."""
    folder = f"page/{'bach' if key == 'bach' else f'temperature={key}'}"
    names: list[str] = []
    columns: dict[str, array[float]] = {}
    chunks: list[str] = []
    sound = True
    while chunk := list(islice(pieces, CHUNK)):
        for piece in chunk:
            for name in piece.statistics:
                columns.setdefault(name, array("d", [math.nan]) * len(names))
            for name, column in columns.items():
                column.append(piece.statistics.get(name, math.nan))
            names.append(piece.name)
            sound = sound and any(suffix in piece.files for suffix in SOUNDS)
        path = f"{folder}/{len(chunks):04d}.js"
        notes = [
            [_encode(piece), {suffix: link(file) for suffix, file in piece.files.items()}]
            for piece in chunk
        ]
        yield _data(path, f"{key}/{len(chunks)}", notes)
        chunks.append(link(path))
    statistics = {name: [_number(value) for value in column] for name, column in columns.items()}
    path = f"{folder}/figures.js"
    yield _data(path, key, {"names": names, "figures": statistics, "chunks": chunks})
    return {
        "key": key,
        "count": len(names),
        "sound": sound,
        "means": {name: _mean(column) for name, column in columns.items()},
        "data": link(path),
    }


def _encode(piece: Piece) -> str:
    """Return the chords in base64, a byte a note, S A T B of one chord after the other."""
    chords = piece.chords
    if chords.ndim != 2 or chords.shape[1] != VOICE_COUNT or len(chords) == 0:
        raise ValueError(f"{piece.name}: chords of shape {chords.shape}, expected [n, 4], n > 0")
    if chords.min() < 0 or chords.max() > _HIGHEST:
        raise ValueError(f"{piece.name}: pitches are not from 0 to {_HIGHEST}")
    return base64.b64encode(chords.astype(np.uint8).tobytes()).decode()


def _mean(column: "array[float]") -> float | None:
    values = np.frombuffer(column)
    values = values[np.isfinite(values)]
    return _number(float(values.mean())) if len(values) else None


def _number(value: float) -> float | None:
    """Return a number with the most digits that the page shows; None for NaN and infinities."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def _data(path: str, key: str, content: object) -> PageFile:
    """Return a script that passes its content to the page, which waits for it by its key."""
    return _file(path, f"rnnrayData({_json(key)},{_json(content)})\n".encode())


def _json(content: object) -> str:
    """Return JSON that cannot end the script around it."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _file(key: str, content: bytes) -> PageFile:
    return PageFile(key, content, _TYPES[key.rpartition(".")[2]])
