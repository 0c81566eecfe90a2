import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rnnray.chorale.render.engraving import svg_pages
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"


def chorale(bars: int) -> np.ndarray:
    """int [16 * bars, 4]: four quarters a bar, never twice the same pitch, one silence."""
    steps = np.arange(4 * bars)[:, None] % [5, 4, 3, 7]
    chords = np.repeat(steps + np.array([72, 67, 55, 48]), 4, axis=0)
    chords[4:8, 1] = 0
    return chords


def of_class(page: str, name: str) -> list[ElementTree.Element]:
    groups = ElementTree.fromstring(page).iter(SVG + "g")
    return [group for group in groups if name in group.get("class", "").split()]


def text_of(page: str) -> str:
    return " ".join("".join(t.itertext()) for t in ElementTree.fromstring(page).iter(SVG + "text"))


def test_every_staff_note_and_rest_is_on_the_page() -> None:
    (page,) = svg_pages(musicxml_bytes(chorale(4), title="Score"))
    assert len(of_class(page, "measure")) == 4
    assert len(of_class(page, "staff")) == 4 * 4
    assert len(of_class(page, "note")) == 4 * 4 * 4 - 1
    assert len(of_class(page, "rest")) == 1
    assert len(of_class(page, "tie")) == 0


def test_a_long_chorale_goes_on_over_pages_of_one_width() -> None:
    pages = svg_pages(musicxml_bytes(chorale(60)))
    assert len(pages) > 1
    assert sum(len(of_class(page, "measure")) for page in pages) == 60
    assert sum(len(of_class(page, "note")) for page in pages) == 4 * 4 * 60 - 1
    boxes = [ElementTree.fromstring(page).get("viewBox", "").split() for page in pages]
    assert {box[2] for box in boxes} == {"840"}
    assert all(int(box[3]) <= 1188 for box in boxes), "no page is higher than A4"


def test_title_tempo_and_voices_can_be_read() -> None:
    (page,) = svg_pages(musicxml_bytes(chorale(2), tempo=66, title="Bach & <Söhne>"))
    text = " ".join(text_of(page).split())
    assert "Bach & <Söhne>" in text
    assert "= 66" in text
    assert all(name in text for name in ("Soprano", "Alto", "Tenor", "Bass"))


def test_a_title_too_long_for_the_page_is_cut_at_its_end() -> None:
    title = "A title " * 20
    text = text_of(svg_pages(musicxml_bytes(chorale(1), title=title))[0])
    assert title[:59] + "…" in text
    assert title[:61] not in text


def test_svg_needs_no_file_script_or_network() -> None:
    for page in svg_pages(musicxml_bytes(chorale(20), title="Score")):
        root = ElementTree.fromstring(page)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags.isdisjoint({"script", "image", "foreignObject", "a", "link"})
        glyphs = {element.get("id") for element in root.iter(SVG + "g")}
        links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
        assert links
        assert all(link.startswith("#") and link[1:] in glyphs for link in links)
        assert "@import" not in page
        assert all(url.startswith("data:") for url in re.findall(r"url\(([^)]*)", page))
        fonts = set(re.findall(r'font-family="([^"]*)"', page))
        assert fonts <= {"Times, serif", "Leipzig"}
        assert "Leipzig" not in fonts or "@font-face" in page, "a font of music comes along"


def test_the_same_score_gives_the_same_svg() -> None:
    content = musicxml_bytes(chorale(3), title="Score")
    assert svg_pages(content) == svg_pages(content)


@pytest.mark.parametrize("length", [0, 20])
def test_silence_is_engraved_too(length: int) -> None:
    (page,) = svg_pages(musicxml_bytes(np.zeros((length, 4), int)))
    assert len(of_class(page, "note")) == 0
    assert len(of_class(page, "staff")) == 4 * max(1, -(-length // 16))


def test_engraving_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    content = musicxml_bytes(chorale(2)).replace(b"<fifths>", b"<odd/><fifths>")
    svg_pages(content)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not XML"),
        (b"Wachet auf", "not XML"),
        (b"\xff\xfe\x00", "not XML"),
        (musicxml_bytes(chorale(1))[:3000], "not XML"),
        (b"<html/>", "<html>: give MusicXML"),
        (b"<score-partwise version='4.0'/>", "with bars"),
    ],
)
def test_what_is_no_score_is_one_clear_line(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        svg_pages(content)
