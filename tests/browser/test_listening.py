"""The list of the page, in Chromium."""

from collections.abc import Callable
from typing import Any

import pytest
from page_waits import wait_for

ROWS = "#pieces tbody tr"
NATS = 1  # columns of the list, after the piece itself


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_selector(ROWS)
    return page


def names(page: Any) -> list[str]:
    return page.locator(f"{ROWS} .name").all_inner_texts()


def column(page: Any, number: int) -> list[str]:
    return page.locator(f"{ROWS} td:nth-of-type({number}) > span").all_inner_texts()


def count(page: Any, text: str) -> None:
    wait_for(page, f"document.getElementById('count').textContent === {text!r}")


def test_a_click_plays_the_piece_and_moves_its_playhead(page: Any, run: Any):
    opened(page, run.index)
    assert page.locator("#dock").is_hidden()
    page.get_by_role("button", name="Play 000003").click()
    wait_for(page, "document.querySelector('audio').currentTime > 0.2")
    assert page.evaluate("document.querySelector('audio').src").endswith("000003.wav")
    assert page.inner_text("#playing") == "000003"
    first, second = (playhead(page) for _ in range(2))
    assert 0 < first < second
    page.get_by_role("button", name="Pause 000003").click()
    assert page.evaluate("document.querySelector('audio').paused")


@pytest.mark.parametrize("sounds", [("flac",), ("wav", "flac"), ("flac", "ogg")])
def test_the_smallest_recording_that_is_there_is_played(
    page: Any, new_run: Any, sounds: tuple[str, ...]
):
    new_run.write(new_run.pieces(1.0, 2, (*sounds, "mid")))
    opened(page, new_run.index)
    page.get_by_role("button", name="Play 000001").click()
    wait_for(page, "document.querySelector('audio').currentTime > 0.1")
    assert page.evaluate("document.querySelector('audio').src").endswith(f"000001.{sounds[-1]}")
    assert page.get_by_role("link", name="FLAC of 000001").count() == 1


def playhead(page: Any) -> float:
    """Its position in percent, a moment later."""
    page.wait_for_timeout(200)
    return float(page.evaluate("document.querySelector('#dock .playhead').style.left.slice(0, -1)"))


def test_playhead_moves_by_beats_for_those_who_want_little_motion(new_page: Any, run: Any):
    page = opened(new_page(reduced_motion="reduce"), run.index)
    page.locator(f"{ROWS} button").first.click()
    wait_for(page, "document.querySelector('audio').currentTime > 0.6")
    assert playhead(page) in (25, 50, 75)  # quarters of a bar


def test_a_click_into_the_roll_jumps_there(page: Any, run: Any):
    opened(page, run.index)
    page.locator(f"{ROWS} button").first.click()
    page.keyboard.press("Space")
    stage = page.locator("#dock .seek")
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 0.75, "y": 20})
    wait_for(page, "Math.abs(document.querySelector('audio').currentTime - 1.5) < 0.05")


def test_headings_sort_by_any_figure_both_ways(page: Any, run: Any):
    opened(page, run.index)
    assert names(page) == [f"{index:06d}" for index in range(20)]
    nats = sorted(run.statistics(index)["nats_per_note"] for index in range(30))
    for expected, order in ((nats, "ascending"), (nats[::-1], "descending")):
        page.get_by_role("button", name="Nats").click()
        wait_for(page, f"document.querySelector('[data-sort=nats_per_note][aria-sort={order}]')")
        wait_for(page, f"{first_figure()} === '{expected[0]:.2f}'")
        assert column(page, NATS) == [f"{value:.2f}" for value in expected[:20]]
    page.get_by_role("button", name="Piece", exact=True).click()
    wait_for(page, f"{first_name()} === '000000'")
    page.get_by_role("button", name="Piece", exact=True).click()
    wait_for(page, f"{first_name()} === '000029'")


def first_figure() -> str:
    return f"document.querySelector('{ROWS} td span').textContent"


def first_name() -> str:
    return f"document.querySelector('{ROWS} .name').lastChild.textContent"


def test_pieces_without_a_figure_come_last_both_ways(page: Any, run: Any):
    for order in ("", "&descending=1"):
        opened(page, f"{run.index}#group=all&sort=nats_per_note&page=3{order}")
        assert column(page, NATS) == ["\u2013"] * 12
        page.goto("about:blank")


def test_filters_leave_the_pieces_that_pass_and_clear_again(page: Any, run: Any):
    opened(page, run.index)
    page.get_by_label("No parallels").check()
    count(page, "20 of 30 pieces")
    assert set(column(page, 2)) == {"0.00"}
    page.get_by_label("No crossing").check()
    count(page, "10 of 30 pieces")
    page.get_by_label("From").fill("0.1")
    page.get_by_label("To").fill("0,19")
    expected = [
        index for index in range(30) if index % 3 and index % 2 == 0 and 10 <= index * 7 % 30 <= 19
    ]
    count(page, f"{len(expected)} of 30 pieces")
    assert names(page) == [f"{index:06d}" for index in expected]
    page.get_by_role("button", name="Clear").click()
    count(page, "30 pieces")
    page.keyboard.press("/")
    page.keyboard.type("02")
    count(page, "11 of 30 pieces")
    page.get_by_label("Name").fill("nothing")
    count(page, "0 of 30 pieces")


def test_a_range_takes_what_it_shows(page: Any, run: Any):
    """0.125 reads 12.5%; a range from 12.5 has it, and it is in percent."""
    opened(page, run.index)
    page.get_by_label("Statistic", exact=True).select_option("Crossing voices")
    page.get_by_label("From").fill("12.5")
    count(page, "15 of 30 pieces")


def test_each_temperature_bach_and_all_are_listed(page: Any, run: Any):
    opened(page, run.index)
    page.get_by_role("radio", name="Bach").check()
    count(page, "12 pieces")
    assert names(page) == [f"test {index}" for index in range(12)]
    page.get_by_role("radio", name="All").check()
    count(page, "72 pieces")
    assert page.inner_text("#place") == "1 of 4"
    page.get_by_role("button", name="Next", exact=True).click()
    wait_for(page, "document.getElementById('place').textContent === '2 of 4'")
    assert names(page)[9:11] == ["Temperature 0.8\n000029", "Temperature 1.5\n000000"]


def test_statistics_stand_beside_bachs_own(page: Any, run: Any):
    opened(page, run.index)
    bach = page.locator(".averages tr", has_text="Bach").locator("td").all_inner_texts()
    assert bach[:3] == ["\u2013", "0.33", "6.3%"]
    mean = page.locator(".averages tr", has_text="0.8").locator("td").all_inner_texts()
    assert mean[:3] == ["0.14", "0.33", "6.3%"]


def test_the_address_remembers_what_is_listed(page: Any, run: Any):
    opened(page, run.index)
    page.get_by_label("No crossing").check()
    count(page, "15 of 30 pieces")
    page.reload()
    count(page, "15 of 30 pieces")
    page.get_by_role("link", name="Real or machine?").click()
    page.get_by_role("button", name="Begin").wait_for()
    page.get_by_role("link", name="Listen").click()
    page.locator("#listen").wait_for()
    count(page, "15 of 30 pieces")


def test_keys_alone_are_enough(page: Any, run: Any):
    opened(page, run.index)
    page.locator(f"{ROWS} button").first.focus()
    page.keyboard.press("Space")
    wait_for(page, "!document.querySelector('audio').paused")
    page.keyboard.press("ArrowDown")
    wait_for(page, "document.querySelector('audio').src.endsWith('000001.wav')")
    wait_for(page, "!document.querySelector('audio').paused")
    page.keyboard.press("ArrowRight")
    wait_for(page, "document.querySelector('audio').currentTime >= 2")
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#playing") == "000000"
    page.keyboard.press("ArrowUp")  # there is none before
    assert page.inner_text("#playing") == "000000"
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()


def test_keys_are_left_to_the_browser_where_the_page_has_no_use_for_them(page: Any, run: Any):
    opened(page, run.index)
    page.evaluate("addEventListener('keydown', (event) => (window.taken = event.defaultPrevented))")
    arrows = ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Space")

    def taken(*keys: str) -> list[str]:
        return [key for key in keys if (page.keyboard.press(key), page.evaluate("taken"))[1]]

    assert taken(*arrows, "b", "m", "l") == []  # nothing has the focus
    page.get_by_label("Name").focus()
    assert taken(*arrows, "q", "/", "?") == []
    page.locator("#direction").evaluate("button => button.parentElement.style.display = 'flex'")
    for control in ("#to-help", "[data-sort=crossing] button", "[name=noparallels]"):
        page.locator(control).focus()
        assert taken(*arrows[:4]) == []
    page.goto(f"{run.index}#quiz=1")
    page.get_by_role("button", name="Begin").focus()
    assert taken(*arrows[:4], "q", "/") == []


def test_single_keys_can_be_switched_off_and_stay_off(page: Any, run: Any):
    opened(page, run.index)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    for again in (False, True):
        if again:
            page.reload()
            page.wait_for_selector(ROWS)
        for key in "q/?":
            page.keyboard.press(key)
        assert "quiz" not in page.url
        assert page.locator("dialog").is_hidden()
        assert page.evaluate("document.activeElement.name") != "find"
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Single-key shortcuts").check()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("q")
    page.get_by_role("button", name="Begin").wait_for()


def test_a_statistic_has_one_name_everywhere(page: Any, run: Any):
    opened(page, run.index)
    names = ["Nats a note", "Parallel fifths", "Crossing voices"]
    columns = page.locator(".averages thead th").all_inner_texts()[1:]
    headings = page.locator("#pieces th[data-sort] button").all_inner_texts()[1:]
    sorts = page.locator("[name=sort] option").all_inner_texts()[1:]
    labels = page.locator(f"{ROWS}:first-child td[data-label]").evaluate_all(
        "cells => cells.map((cell) => cell.dataset.label)"
    )
    assert columns == headings == sorts == labels == names


def test_next_goes_on_to_the_next_page(page: Any, run: Any):
    opened(page, run.index)
    page.get_by_role("button", name="Play 000019").click()
    page.get_by_role("button", name="Next piece").click()
    wait_for(page, "document.getElementById('playing').textContent === '000020'")
    assert names(page)[0] == "000020"


def test_without_recordings_there_is_no_player(page: Any, new_run: Any):
    new_run.write(new_run.pieces(1.0, 3, suffixes=("mid", "musicxml")))
    opened(page, new_run.index)
    assert page.locator(f"{ROWS} button").count() == 0
    links = page.locator(f"{ROWS} a").evaluate_all(
        "links => links.map(a => a.getAttribute('href'))"
    )
    assert links[:2] == ["temperature=1/000000.mid", "temperature=1/000000.musicxml"]
    page.keyboard.press("ArrowDown")
    assert page.locator("#dock").is_hidden()


def test_a_phone_shows_it_without_scrolling_sideways(new_page: Callable[..., Any], run: Any):
    page = opened(new_page(viewport={"width": 375, "height": 812}, has_touch=True), run.index)
    assert not overflows(page)
    table = page.locator(".averages")
    inside = "node => { const box = node.getBoundingClientRect(); return box.left >= 0 && "
    for cell in table.locator("td[data-label]:not([data-label=''])").all():
        assert cell.is_visible()
        assert cell.evaluate(
            f"{inside}box.right <= innerWidth && node.scrollWidth <= box.width + 1; }}"
        )
    assert table.locator("td:visible").count() == 3 * 3  # two temperatures and Bach
    page.get_by_role("button", name="Filter").tap()
    page.get_by_label("No crossing").check()
    count(page, "15 of 30 pieces")
    page.get_by_label("Sort by").select_option("Nats a note")
    page.get_by_role("button", name="Ascending").tap()
    wait_for(page, f"{first_figure()} === '0.28'")
    page.locator(f"{ROWS} button").first.tap()
    page.locator("#dock").wait_for()
    assert not overflows(page)


def overflows(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_light_and_dark_follow_the_system(new_page: Any, run: Any, scheme: str, dark: bool):
    page = opened(new_page(color_scheme=scheme), run.index)
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(color.removeprefix("rgb(").partition(",")[0])
    assert (red < 128) is dark
