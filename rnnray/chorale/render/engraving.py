"""Scores to look at: MusicXML engraved as SVG by Verovio (https://www.verovio.org)."""

from xml.etree import ElementTree

from rnnray.errors import UserError

# characters that fit on the page's width: Verovio would cut off both ends of a longer title
TITLE = 60
OPTIONS = {
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
    "smuflTextFont": "embedded",  # the tempo's note is text
    "xmlIdSeed": 1,  # 0 would draw the ids at random
}


def svg_pages(musicxml: bytes) -> list[str]:
    """Engrave a score: one SVG for each A4 page, only as high as its content.

    The SVGs contain their musical glyphs and need no file, script or network. Words are set in the
    reader's own Times or another serif font. The same score gives the same SVGs.

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
    toolkit.setOptions(OPTIONS)
    if not toolkit.loadData(ElementTree.tostring(score, encoding="unicode")):
        raise UserError("the score cannot be engraved: Verovio does not read this MusicXML")
    return [toolkit.renderToSVG(page) for page in range(1, toolkit.getPageCount() + 1)]
