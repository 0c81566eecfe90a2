"""The page of one chorale, in Chromium: a file alone in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_waits import wait_for

from rnnray.chorale.render.midi_writer import midi_bytes
from rnnray.chorale.render.musicxml_writer import musicxml_bytes
from rnnray.chorale.render.piece_page import piece_page
from rnnray.chorale.render.sound_files import sound_files

BARS, TEMPO = 12, 240  # a bar a second
NOW = "[...document.querySelectorAll('.bar')].filter((bar) => bar.getClientRects().length)"
MARKED = f"{NOW}.map((bar) => bar.classList.contains('now'))"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    soprano = 67 + np.arange(16 * BARS) // 4 % 5
    lower = np.tile([64, 55, 48], (len(soprano), 1))
    chords = np.concatenate([soprano[:, None], lower], axis=1).astype(np.int16)
    given = np.zeros(chords.shape, bool)
    given[:, 0] = True
    sound = sound_files(chords, ("flac",), tempo=TEMPO, instrument="sine")["flac"]
    page = piece_page(
        chords,
        title="Chorale",
        tempo=TEMPO,
        score=musicxml_bytes(chords, tempo=TEMPO, title="Chorale", given=given),
        midi=midi_bytes(chords, tempo=TEMPO),
        sound=sound,
        given=given,
    )
    path = Path(tmp_path_factory.mktemp("piece")) / "0000.html"
    path.write_bytes(page)
    return path.as_uri()


def test_the_playing_bar_is_marked_in_the_score(page: Any, address: str) -> None:
    page.goto(address)
    assert page.evaluate(MARKED).index(True) == 0
    page.get_by_role("button", name="Play").click()
    wait_for(page, f"{MARKED}.indexOf(true) === 1")
    assert page.evaluate(MARKED).count(True) == 1
    assert page.inner_text("#place").startswith(f"Bar 2 of {BARS} ")
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("document.querySelector('audio').paused")


def test_a_click_or_a_key_goes_to_a_bar(page: Any, address: str) -> None:
    page.goto(address)
    page.evaluate(f"{NOW}[2].dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    wait_for(page, "!document.querySelector('audio').paused")
    assert page.evaluate("document.querySelector('audio').currentTime") >= 2
    page.get_by_role("button", name="Pause").click()
    slider = page.get_by_role("slider", name="Bar")
    slider.focus()
    page.keyboard.press("End")
    wait_for(page, f"{MARKED}.at(-1)")
    page.keyboard.press("ArrowLeft")
    wait_for(page, f"{MARKED}.at(-2)")
    assert slider.get_attribute("aria-valuetext").startswith(f"Bar {BARS - 1} of {BARS}")


def test_a_phone_shows_narrow_lines_and_follows_them(
    new_page: Callable[..., Any], address: str
) -> None:
    page = new_page(viewport={"width": 390, "height": 700}, reduced_motion="reduce")
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".wide").is_hidden()
    page.get_by_role("button", name="Play").click()
    page.evaluate("go(8)")
    wait_for(page, f"{MARKED}.indexOf(true) === 8")
    wait_for(page, "scrollY > 0")
    box = page.evaluate(f"{NOW}[8].getBoundingClientRect().toJSON()")
    assert 0 <= box["top"] < box["bottom"] <= page.locator(".dock").bounding_box()["y"]


def test_the_given_voice_has_its_colour(page: Any, address: str) -> None:
    page.goto(address)
    fills = page.evaluate(
        "[...document.querySelector('.wide .measure').querySelectorAll('.staff')].map((staff) =>"
        " getComputedStyle(staff.querySelector('.note use')).fill)"
    )
    assert fills[0] == "rgb(0, 103, 168)"
    assert fills[0] not in fills[1:4]


def test_score_and_midi_can_be_saved(page: Any, address: str) -> None:
    page.goto(address)
    with page.expect_download() as download:
        page.get_by_role("link", name="MIDI").click()
    assert download.value.suggested_filename == "chorale.mid"
    assert Path(download.value.path()).read_bytes().startswith(b"MThd")
