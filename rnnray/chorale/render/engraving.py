"""Scores to look at: MusicXML engraved as SVG by Verovio (https://www.verovio.org)."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from rnnray.errors import UserError

# characters that fit on the page's width: Verovio would cut off both ends of a longer title
TITLE = 60
OPTIONS: Mapping[str, Any] = {
    "inputFrom": "xml",
    # A4 is 2100 by 2970 tenths of a millimetre, a page 840 pixels wide; the view box lets a browser
    # scale it.
    "pageWidth": 2100,
    "pageHeight": 2970,
    "pageMarginLeft": 100,
    "pageMarginRight": 100,
    "pageMarginTop": 100,
    "pageMarginBottom": 100,
    "adjustPageHeight": True,
    "scale": 40,
    "svgViewBox": True,
    "svgFormatRaw": True,  # no indentation: a third smaller
    "spacingSystem": 8,
    "footer": "none",  # "auto" would name the software
    "smuflTextFont": "embedded",
    "xmlIdSeed": 1,  # 0 would draw the ids at random
}

# Verovio writes the tempo's note as text in a font of music, which few programs but browsers load.
_TEMPO = re.compile(
    r'(?P<group><g [^>]*class="tempo">)<text x="(?P<x>\d+)" y="(?P<y>\d+)" font-size="0px">'
    r"(<tspan[^>]*>)*\ueca5(</tspan>)+(?P<number>.*?)</text></g>"
)
_MUSIC_FONT = re.compile(r'<style type="text/css">@font-face.*?</style>', re.DOTALL)
_ABOVE = 130  # lifts the tempo off the sharps beside it


def svg_pages(musicxml: bytes, options: Mapping[str, Any] = {}) -> list[str]:
    """Engrave a score: one SVG for each A4 page, only as high as its content.

    The SVGs contain their musical glyphs and need no file, script or network. Words are set in the
    reader's own Times or another serif font. The same score gives the same SVGs.

    Args:
        musicxml: a score, plain MusicXML.
        options: Verovio's options that differ from `OPTIONS`.

    Raises:
        UserError: `musicxml` is not a MusicXML score with at least one bar.
    """
    import verovio  # noqa: PLC0415  (slow, and only needed to engrave)

    # Verovio accepts anything, and engraves an empty page if it cannot read the input.
    try:
        score = ElementTree.fromstring(musicxml)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"the score is not XML: {error}; give a MusicXML file") from error
    if score.tag != "score-partwise" or score.find("part/measure") is None:
        raise UserError(f"the score is <{score.tag}>: give MusicXML, <score-partwise> with bars")
    for title in [*score.iterfind("work/work-title"), *score.iterfind("movement-title")]:
        if title.text and len(title.text) > TITLE:
            title.text = title.text[: TITLE - 1] + "…"

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({**OPTIONS, **options})
    if not toolkit.loadData(ElementTree.tostring(score, encoding="unicode")):
        raise UserError("the score cannot be engraved: Verovio does not read this MusicXML")
    return [_drawn(toolkit.renderToSVG(page)) for page in range(1, toolkit.getPageCount() + 1)]


def _drawn(svg: str) -> str:
    """Return a page whose tempo has a drawn note, without the font that its text would need."""
    svg = _TEMPO.sub(_tempo, svg)
    return svg if 'font-family="Leipzig"' in svg else _MUSIC_FONT.sub("", svg)


def _tempo(mark: re.Match[str]) -> str:
    x, y = int(mark["x"]), int(mark["y"]) - _ABOVE
    number = re.sub("<[^>]*>", "", mark["number"]).strip()
    return (
        f'{mark["group"]}<ellipse cx="{x + 110}" cy="{y - 70}" rx="112" ry="78" '
        f'transform="rotate(-25 {x + 110} {y - 70})"/>'
        f'<path d="M{x + 208} {y - 100} L{x + 208} {y - 520}" stroke-width="24"/>'
        f'<text x="{x + 350}" y="{y}" font-size="405px">{number}</text></g>'
    )
