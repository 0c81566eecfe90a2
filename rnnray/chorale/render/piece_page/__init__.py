"""A page of one chorale, a single file to send: its sound, and its score with the playing bar."""

import base64
import hashlib
import html
import json
import re
from importlib import resources
from string import Template

import numpy as np
from numpy.typing import NDArray

from rnnray.chorale.chorale_config import BAR
from rnnray.chorale.chords import VOICES, Chords
from rnnray.chorale.render.engraving import svg_pages
from rnnray.chorale.render.midi_writer import title_text

# Widths of the score in tenths of a millimetre, four to a pixel: CSS shows the one that fits.
_WIDE, _NARROW = 2100, 900
_PAGE = {
    "header": "none",
    "pageHeight": 60000,  # Verovio's highest: the browser scrolls
    "pageMarginLeft": 20,  # for a browser whose letters are wider
    "pageMarginRight": 0,
    "pageMarginTop": 40,
    "pageMarginBottom": 0,
}
_OWN = ("piece.css", "piece.js")
_PART_NAME = re.compile(
    rb"<part-name>[^<]*</part-name>(<part-abbreviation>)([^<]*)(</part-abbreviation>)"
)


def piece_page(
    chords: Chords,
    *,
    title: str,
    tempo: float,
    score: bytes,
    midi: bytes,
    sound: bytes,
    given: NDArray[np.bool_] | None = None,
) -> bytes:
    """Return the page, HTML that loads nothing else; the same bytes for the same arguments.

    Args:
        chords: int16 [n, 4], n > 0.
        title: heading of the page; any text.
        tempo: quarter notes a minute, as in the sound.
        score: the chorale as MusicXML, engraved for a wide window and for a phone.
        midi: the chorale as MIDI, to download as the score is.
        sound: the chorale as FLAC.
        given: bool [n, 4], notes that the page says are given, which the score colours.
    """
    bar_seconds = BAR * 15 / tempo
    bars = -(-len(chords) // BAR)
    seconds = len(chords) * 15 / tempo
    files = resources.files(__name__)
    css, script = (_text(files.joinpath(name).read_text("utf-8")) for name in _OWN)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(css)}; "
        "media-src data:; img-src data:; base-uri 'none'; form-action 'none'"
    )
    lede = f"{bars} bar{'s' if bars > 1 else ''}, {tempo:g} quarter notes a minute."
    page = Template(files.joinpath("piece.html").read_text("utf-8")).substitute(
        policy=html.escape(policy),
        title=html.escape(title_text(title)),
        lede=lede + _given(given),
        css=css,
        wide=_score(score, _WIDE, 1),
        narrow=_score(_PART_NAME.sub(rb"<part-name>\2</part-name>\1\2\3", score), _NARROW, 2),
        bars=bars,
        midi=_address("audio/midi", midi),
        musicxml=_address("application/vnd.recordare.musicxml+xml", score),
        sound=_address("audio/flac", sound),
        piece=json.dumps({"bars": bars, "bar": bar_seconds, "seconds": seconds}),
        script=script,
    )
    return page.encode()


def _given(given: NDArray[np.bool_] | None) -> str:
    if given is None or not given.any():
        return ""
    names = [name for name, notes in zip(VOICES, given.T, strict=True) if notes.any()]
    voices = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    verb = "are" if len(names) > 1 else "is"
    return f' <span class="given">The {voices} {verb} given</span>, in this colour.'


def _score(score: bytes, width: int, seed: int) -> str:
    """Return a score as SVG without its own style sheet, whose rules are in the page's."""
    pages = svg_pages(score, {**_PAGE, "pageWidth": width, "xmlIdSeed": seed})
    svg = "\n".join(pages)
    svg = re.sub(r'<style type="text/css">#.*?</style>', "", svg, flags=re.DOTALL)
    return re.sub(r' id="[a-z0-9]+"', "", svg)  # the page uses no note's id


def _text(content: str) -> str:
    return f"\n{content}"


def _digest(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


def _address(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
