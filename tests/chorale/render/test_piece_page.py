"""A page of one chorale: one file that needs nothing else, and shows nothing as markup."""

import base64
import hashlib
import html
import re

import numpy as np
import pytest

from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.piece_page import piece_page

CHORDS = np.repeat(np.array([[72, 67, 60, 48], [74, 67, 59, 43]], np.int16), 16, axis=0)


def made(title: str = "Title", given: np.ndarray | None = None) -> str:
    return piece_page(
        CHORDS,
        title=title,
        tempo=90,
        score=musicxml_bytes(CHORDS, tempo=90, title=title, given=given),
        midi=midi_bytes(CHORDS, tempo=90, title=title),
        sound=b"ID3",
        given=given,
    ).decode()


@pytest.fixture(scope="module")
def page() -> str:
    return made()


def test_it_loads_nothing_and_its_policy_says_so(page: str) -> None:
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digests = [
            base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline
        ]
        assert len(inline) == 1
        assert f"{tag}-src 'sha256-{digests[0]}';" in policy
    addresses = re.findall(r'(?:src|(?<!xlink:)href)="([^"]*)"', page)
    assert len(addresses) == 4
    assert all(address.startswith("data:") for address in addresses)
    assert all(link.startswith("#") for link in re.findall(r'xlink:href="([^"]*)"', page))
    assert " style=" not in page


def test_both_scores_have_every_bar_and_glyphs_of_their_own(page: str) -> None:
    wide, narrow = page.split('<div class="score narrow"')
    assert wide.count('class="measure"') == narrow.count('class="measure"') == 2
    for score in wide, narrow:
        glyphs = set(re.findall(r' id="(E[^"]*)"', score))
        assert set(re.findall(r'xlink:href="#([^"]*)"', score)) <= glyphs
    identifiers = re.findall(r' id="([^"]*)"', page)
    assert len(set(identifiers)) == len(identifiers)


def test_a_title_is_shown_as_text() -> None:
    page = made("<script>alert(1)</script> & $$ ${css}")
    assert "<script>alert" not in page
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt; &amp; $$ ${css}</h1>" in page


def test_it_says_which_voices_are_given(page: str) -> None:
    assert "given" not in page.partition("<main")[0].partition("<h1>")[2]
    given = np.zeros(CHORDS.shape, bool)
    given[:, [0, 3]] = True
    asked = made(given=given)
    assert "The soprano and bass are given" in asked
    # Four notes, in both scores; and by words where there is room.
    assert asked.count('color="#0067A8"') == 2 * 4
    assert "Soprano (given)" in asked


def test_the_same_chorale_gives_the_same_bytes(page: str) -> None:
    assert made() == page
