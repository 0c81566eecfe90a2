"""Titles, names and words from users and files are text wherever they are shown."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from rnnray.chorale.render import page
from rnnray.chorale.render.engraving import svg_pages
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.page import Piece
from rnnray.chorale.render.rendering import render
from rnnray.sketch import sketch_plots

CHORDS = np.tile(np.array([72, 67, 60, 48], np.int16), (16, 1))
EVIL = [
    "</title></text><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]><![CDATA[<script>alert(1)</script>",
    "&lt;script&gt;&amp;&#60;script&#62;",
    "<?xml-stylesheet href='javascript:alert(1)'?>",
    "a\0b\x1b[2J\r\n\u2028\ud800",
    r"$\frac{$ $x_$ $\input{/etc/passwd}$ \$",
    "${run}$run$$",
    "x" * 5000,
]


def scripts(text: str) -> list[str]:
    return re.findall(r"<script(?! src=\"page/)", text)


@pytest.mark.parametrize("evil", EVIL)
def test_a_title_is_text_in_the_listening_page(evil: str) -> None:
    piece = Piece(evil, 1.0, CHORDS, {evil: 1.0}, {"wav": f"temperature=1/{evil}.wav"})
    title = evil.replace("\ud800", "?")  # no UTF-8, which no command line gives
    built = list(page.build(title, 80, [piece], link=lambda key: key))
    plain = list(page.build("a", 80, [piece], link=lambda key: key))
    index = built[-1].content.decode()
    assert f"<title>{html.escape(title)}</title>" in index
    assert index.count("<") - plain[-1].content.decode().count("<") == 0
    assert len(scripts(index)) == len(scripts(plain[-1].content.decode()))
    for file in built:
        if file.key.startswith("page/temperature"):
            assert b"<" not in file.content


@pytest.mark.parametrize("evil", EVIL)
def test_a_title_is_text_in_the_score_and_breaks_no_picture(evil: str, tmp_path: Path) -> None:
    score = musicxml_bytes(CHORDS, tempo=80, title=evil)
    root = ElementTree.fromstring(score)
    plain = ElementTree.fromstring(musicxml_bytes(CHORDS, tempo=80, title="a"))
    assert {element.tag for element in root.iter()} == {element.tag for element in plain.iter()}
    for svg in svg_pages(score):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
        assert not tags & {"script", "img", "foreignObject", "iframe", "a", "image"}
        assert not re.search(r"<[^>]*\son\w+=", svg)
    files = render(str(tmp_path / "piece"), CHORDS, title=evil, tempo=80, instrument="sine")
    assert all(Path(file).stat().st_size > 100 for file in files)


@pytest.mark.parametrize("evil", EVIL)
def test_a_class_s_name_breaks_no_picture(evil: str, tmp_path: Path) -> None:
    ink = np.array([[0.5, 0.5, 0], [0.2, 0.1, 1]], np.float32)
    sketch_plots.sketch_grid(tmp_path / "grid.png", [ink, ink], [evil, "cat"], evil)
    assert (tmp_path / "grid.png").stat().st_size > 1000
