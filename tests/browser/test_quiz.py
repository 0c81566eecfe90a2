"""Real or machine? in Chromium."""

import json
import re
from typing import Any

import pytest
from page_waits import wait_for

BACH, MACHINE = "#say-bach", "#say-machine"


def begin(page: Any, run: Any, seed: int, length: int = 10) -> list[str]:
    """The sources of the pieces to come, as only a test can see them."""
    page.goto("about:blank")
    page.goto(f"{run.index}#quiz={seed}")
    page.get_by_label(str(length), exact=True).check()
    # Read before it begins: pieces that do not play leave it.
    sources = page.evaluate(f"drawRounds({seed}, {length}).map(({{key}}) => key)")
    page.get_by_role("button", name="Begin").click()
    return sources


def answer(page: Any, says: list[str]) -> None:
    for selector in says:
        page.wait_for_selector(f"{selector}:enabled")
        page.click(selector)
        page.click("#onward")


def results(page: Any) -> dict[str, list[str]]:
    rows = page.locator(".result tbody tr")
    return {
        row.locator("th").inner_text(): [
            cell.strip() for cell in row.locator("td").all_inner_texts()
        ]
        for row in rows.all()
    }


def test_quiz_counts_right_answers_of_bach_and_of_each_temperature(page: Any, run: Any):
    sources = begin(page, run, seed=7, length=20)
    # Right for Bach but for the first time; all of 0.8 are taken for Bach's, none of 1.5.
    first = sources.index("bach")
    says = [
        BACH if (key == "bach" and number != first) or key == "0.8" else MACHINE
        for number, key in enumerate(sources)
    ]
    answer(page, says)
    cold, hot = sources.count("0.8"), sources.count("1.5")
    assert page.inner_text("h2:visible") == f"{9 + hot} of 20 right"
    assert results(page) == {
        "Bach": ["9 of 10", "90%"],
        "Temperature 0.8": [f"0 of {cold}", "100%"],
        "Temperature 1.5": [f"{hot} of {hot}", "0%"],
    }
    assert page.inner_text("#fooled").startswith("Temperature 0.8 fooled you")
    wrong = page.locator(".heard .wrong").all_inner_texts()
    assert sorted(wrong) == ["you said Bach"] * cold + ["you said machine"]


@pytest.mark.parametrize(
    ("taken", "heard", "verdict"),
    [
        (4, 4, "You heard too few pieces"),  # by guessing, 1 time in 16
        (5, 5, "Temperature 0.8 fooled you"),  # 1 in 32
        (4, 5, "No temperature fooled you"),
        (9, 10, "Temperature 0.8 fooled you"),  # 1 in 93
        (8, 10, "No temperature fooled you"),  # 1 in 18
        (15, 20, "Temperature 0.8 fooled you"),  # 1 in 48
        (14, 20, "No temperature fooled you"),  # 1 in 17
    ],
)
def test_who_guesses_is_not_told_to_be_fooled(
    page: Any, run: Any, taken: int, heard: int, verdict: str
):
    page.goto(run.index)
    sources = [{"key": "bach", "heard": 9, "taken": 9}, {"key": "0.8", "heard": heard}]
    sources[1]["taken"] = taken
    assert page.evaluate(f"verdictOn({json.dumps(sources)})").startswith(verdict)


@pytest.mark.parametrize(
    ("taken", "verdict"),
    [
        ((3, 3, 3), "Together they fooled you"),  # 9 of 10: by guessing, 1 time in 93
        ((2, 3, 3), "Together they did not fool you"),  # 8 of 10: 1 in 18
    ],
)
def test_few_pieces_of_each_temperature_are_judged_together(
    page: Any, run: Any, taken: tuple[int, int, int], verdict: str
):
    page.goto(run.index)
    sources = [{"key": "bach", "heard": 9, "taken": 9}]
    for key, heard, wrong in zip(("0.8", "1", "1.2"), (3, 3, 4), taken, strict=True):
        sources.append({"key": key, "heard": heard, "taken": wrong})
    said = page.evaluate(f"verdictOn({json.dumps(sources)})")
    assert said.startswith("You heard too few pieces of each temperature")
    assert verdict in said


def test_score_is_kept_on_the_way(page: Any, run: Any):
    sources = begin(page, run, seed=3)
    answer(page, [BACH if sources[0] == "bach" else MACHINE])
    assert page.inner_text("#right") == "1 of 1 right"
    answer(page, [MACHINE if sources[1] == "bach" else BACH])
    assert page.inner_text("#right") == "1 of 2 right"


def test_half_are_bachs_temperatures_take_turns_and_no_piece_comes_twice(page: Any, run: Any):
    for seed in range(3):
        sources = begin(page, run, seed, length=20)
        assert [sources.count(key) for key in ("bach", "0.8", "1.5")] == [10, 5, 5]
        pieces = page.evaluate("game.rounds.map(({key, at}) => `${key} ${at}`)")
        assert len(set(pieces)) == 20
        composed = [piece.split()[1] for piece in pieces if not piece.startswith("bach")]
        assert len(set(composed)) == 10, "pieces of one number share their random numbers"


def test_a_seed_gives_the_same_pieces_again(page: Any, run: Any):
    drawn = []
    for seed in (7, 7, 8):
        begin(page, run, seed)
        drawn.append(page.evaluate("game.rounds.map(({key, at}) => `${key} ${at}`)"))
    assert drawn[0] == drawn[1] != drawn[2]


def test_nothing_tells_which_piece_it_is_before_the_answer(page: Any, run: Any):
    sources = begin(page, run, seed=7)
    seen = set()
    for number in range(len(sources)):
        page.wait_for_selector(f"{BACH}:enabled")
        assert page.locator("#dock").is_hidden()
        assert page.title() == "Run"
        # All of what is drawn and written, without the count and the playhead.
        body = page.inner_html("#quiz") + page.evaluate("document.body.innerText")
        body = re.sub(r' (style|value|aria-valuetext|width|height)="[^"]*"', "", body)
        body = re.sub(r"Piece \d+|\d+ of \d+( right)?", "", body)
        seen.add(re.sub(r"\s+", " ", body))
        assert not drawn(page)
        answer(page, [BACH])
        if number == 4:
            break
    assert len(set(sources[:5])) > 1
    assert len(seen) == 1


def test_the_answer_is_shown_once_it_is_given(page: Any, run: Any):
    (first, *_) = begin(page, run, seed=7)
    page.wait_for_selector(f"{BACH}:enabled")
    assert not drawn(page)
    page.keyboard.press("b")
    page.wait_for_selector("#onward")
    said = page.inner_text(".verdict p")
    assert said.startswith("Right. This is Bach" if first == "bach" else "No. A machine")
    assert drawn(page)
    assert page.locator(BACH).is_disabled()


def drawn(page: Any) -> bool:
    """Whether anything is on the quiz's piano roll."""
    return page.evaluate(
        """() => {
          const canvas = document.querySelector("#quiz canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value) => value > 0);
        }"""
    )


def test_nobody_answers_before_a_note_was_heard(page: Any, run: Any):
    page.goto(f"{run.index}#quiz=7")
    # As where a browser does not let a page play by itself.
    page.evaluate("player.play = () => {}")
    page.get_by_role("button", name="Begin").click()
    wait_for(page, "player.piece !== null")
    page.keyboard.press("b")
    assert page.locator(BACH).is_disabled()
    assert page.evaluate("game.answers") == []
    page.evaluate("player.audio.play()")
    page.wait_for_selector(f"{BACH}:enabled")


@pytest.mark.parametrize("lost", ["bach/*.wav", "page/bach/0000.js"])
def test_a_piece_that_does_not_play_does_not_count(page: Any, new_run: Any, lost: str):
    new_run.write([*new_run.pieces(1.0, 5), *new_run.pieces(None, 5)])
    for file in new_run.folder.glob(lost):
        file.unlink()
    sources = begin(page, new_run, seed=1)
    for source in sources:
        if source == "bach":
            page.wait_for_selector("text=does not count")
            page.click("#onward")
        else:
            answer(page, [MACHINE])
    assert page.inner_text("h2:visible") == "5 of 5 right"
    assert results(page) == {"Temperature 1": ["5 of 5", "0%"]}


def test_few_pieces_make_a_short_quiz(page: Any, new_run: Any):
    new_run.write([*new_run.pieces(1.0, 9), *new_run.pieces(None, 2)])
    sources = begin(page, new_run, seed=1, length=4)
    assert sorted(sources) == ["1", "1", "bach", "bach"]


def test_without_recordings_or_bach_the_quiz_says_why(page: Any, new_run: Any):
    new_run.write(new_run.pieces(1.0, 3))
    page.goto(f"{new_run.index}#quiz")
    assert "needs recordings" in page.inner_text("#quiz")


def test_pieces_can_be_heard_again_at_the_end(page: Any, run: Any):
    begin(page, run, seed=7)
    answer(page, [BACH] * 10)
    page.locator(".heard button").nth(2).click()
    wait_for(page, "document.querySelector('audio').currentTime > 0.1")
    assert page.inner_text("#playing") in page.locator(".heard li").nth(2).inner_text()
    page.get_by_role("button", name="Another round").click()
    page.get_by_role("button", name="Begin").wait_for()
    assert page.url.endswith("#quiz=8")


def test_a_phone_shows_the_quiz_and_its_result(new_page: Any, run: Any):
    page = new_page(viewport={"width": 375, "height": 812}, has_touch=True)
    begin(page, run, seed=7)
    width = "document.documentElement.scrollWidth"
    page.wait_for_selector(f"{BACH}:enabled")
    assert page.evaluate(width) == 375
    answer(page, [BACH] * 10)
    page.wait_for_selector(".result")
    assert page.evaluate(width) == 375
