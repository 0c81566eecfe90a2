import base64
import html
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rnnray.chorale.render.page import CHUNK, PageFile, Piece, build

CHORDS = np.array([[72, 67, 60, 48], [0, 67, 60, 36]], np.int16)
STATISTICS = {"nats_per_note": 0.5, "crossing": 0.25}


def piece(index: int = 0, temperature: float | None = 1.0, **changes: Any) -> Piece:
    name = f"{index:06d}"
    fields: dict[str, Any] = {
        "name": name,
        "temperature": temperature,
        "chords": CHORDS,
        "statistics": STATISTICS,
        "files": {"wav": f"temperature=1/{name}.wav", "mid": f"temperature=1/{name}.mid"},
    }
    return Piece(**fields | changes)


def built(*pieces: Piece, title: str = "Title", sign: str = "") -> dict[str, PageFile]:
    files = build(title, 80, pieces, link=lambda key: key + sign)
    return {file.key: file for file in files}


def data(file: PageFile) -> tuple[str, Any]:
    """The key and the content that a script passes to the page."""
    call = file.content.decode().strip()
    assert call.startswith("rnnrayData(")
    key, content = json.loads(f"[{call.removeprefix('rnnrayData(').removesuffix(')')}]")
    return key, content


def run_of(files: dict[str, PageFile]) -> Any:
    index = files["index.html"].content.decode()
    found = re.search(r'<script type="application/json" id="run">(.*?)</script>', index, re.S)
    assert found
    return json.loads(found[1])


def test_files_come_while_the_pieces_do_and_the_index_last():
    asked = 0

    def pieces() -> Iterator[Piece]:
        nonlocal asked
        for index in range(3 * CHUNK):
            asked += 1
            yield piece(index)

    asked_before = {file.key: asked for file in build("", 80, pieces(), link=lambda key: key)}
    assert asked_before["page/temperature=1/0000.js"] <= CHUNK + 1
    assert asked_before["page/temperature=1/0002.js"] == 3 * CHUNK
    assert list(asked_before)[-1] == "index.html"


def test_index_stays_small_with_thousands_of_pieces():
    few = built(piece())["index.html"].content
    many = built(*(piece(index) for index in range(3000)))["index.html"].content
    assert len(few) < 8_000
    assert len(many) < len(few) + 10


def test_every_piece_is_found_with_its_chords_statistics_and_links():
    files = built(
        *(piece(i, statistics={"crossing": i / 1000}) for i in range(CHUNK + 3)), sign="?s"
    )
    (group,) = run_of(files)["groups"]
    assert group["count"] == CHUNK + 3
    key, figures = data(files[group["data"].removesuffix("?s")])
    assert key == group["key"] == "1"
    assert figures["names"][-1] == f"{CHUNK + 2:06d}"
    assert figures["figures"] == {"crossing": [i / 1000 for i in range(CHUNK + 3)]}
    chunks = [data(files[chunk.removesuffix("?s")]) for chunk in figures["chunks"]]
    assert [(key, len(pieces)) for key, pieces in chunks] == [("1/0", CHUNK), ("1/1", 3)]
    encoded, links = chunks[1][1][2]
    decoded = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(-1, 4)
    np.testing.assert_array_equal(decoded, CHORDS)
    assert links == {
        "wav": f"temperature=1/{CHUNK + 2:06d}.wav?s",
        "mid": f"temperature=1/{CHUNK + 2:06d}.mid?s",
    }


def test_statistics_that_a_piece_lacks_do_not_move_to_another_piece():
    first = piece(0, statistics={"crossing": 0.5})
    second = piece(1, statistics={"nats_per_note": 0.25, "crossing": math.nan})
    files = built(first, second)
    _, composed = data(files["page/temperature=1/figures.js"])
    assert composed["figures"] == {"crossing": [0.5, None], "nats_per_note": [None, 0.25]}
    run = run_of(files)
    assert run["figures"] == ["crossing", "nats_per_note"]
    assert run["groups"][0]["means"] == {"crossing": 0.5, "nats_per_note": 0.25}


def test_means_stand_beside_bachs_means():
    """Bach's longest_frozen is a mean too, not the maximum over all pieces."""
    frozen = [
        piece(i, None, statistics={"longest_frozen": value}) for i, value in enumerate((8, 40))
    ]
    run = run_of(built(piece(statistics={"longest_frozen": 16}), *frozen))
    assert [group["means"]["longest_frozen"] for group in run["groups"]] == [16, 24]
    assert run["bach"] == {"longest_frozen": 24}
    assert run_of(built(piece()))["bach"] == {}
    corpus = {"longest_frozen": 12.5, "crossing": 0.02, "chorales": 382}
    (*_, index) = build("", 80, frozen, bach=corpus, link=lambda key: key)
    whole = run_of({"index.html": index})
    assert whole["bach"] == {"longest_frozen": 12.5, "crossing": 0.02}
    assert whole["bach_chorales"] == 382


def test_quiz_knows_which_temperatures_have_sound():
    silent = piece(1, 0.8, files={"mid": "a.mid"})
    flac = piece(0, 1.5, files={"flac": "a.flac"})
    groups = run_of(built(piece(0, 0.8), silent, flac, piece(0, None)))["groups"]
    assert [(group["key"], group["sound"]) for group in groups] == [
        ("0.8", False),
        ("1.5", True),
        ("bach", True),
    ]


def test_addresses_of_scripts_are_those_that_link_gives():
    sign = "?X-Amz-Date=1&X-Amz-Signature=a%2Fb"
    index = built(piece(), sign=sign)["index.html"].content.decode()
    sources = [html.unescape(source) for source in re.findall(r'<script src="(.*?)">', index)]
    assert f"page/page.js{sign}" in sources
    assert all(source.endswith(sign) for source in sources)
    assert html.escape(f"page/page.css{sign}") in index


def test_nothing_is_loaded_from_elsewhere():
    for file in built(piece()).values():
        text = file.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"(^|\s)// .*", "", text), file.key


@pytest.mark.parametrize(
    ("base", "own"), [("", "'self' file:"), ("https://host:9000/b/", "'self' https://host:9000")]
)
def test_a_browser_may_load_the_pages_own_files_alone(base: str, own: str):
    files = {file.key: file for file in build("", 80, [piece()], link=lambda key: base + key)}
    index = files["index.html"].content.decode()
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', index)
    assert found
    policy = dict(rule.split(" ", 1) for rule in html.unescape(found[1]).split("; "))
    assert policy.pop("img-src") == "data:"  # the empty icon
    for kind in ("script", "style", "media"):
        assert policy.pop(f"{kind}-src") == own
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    assert index.index("Content-Security-Policy") < index.index("<title>")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|javascript:", index)


def test_every_file_has_its_type_and_is_listed_once():
    files = list(build("", 80, [piece()], link=lambda key: key))
    assert len({file.key for file in files}) == len(files)
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
    for file in files:
        expected = f"{kinds[file.key.rpartition('.')[2]]}; charset=utf-8"
        assert file.content_type == expected


def test_no_pieces_still_make_a_page():
    assert run_of(built())["groups"] == []


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([piece(0, 1.0), piece(0, None), piece(1, 1.0)], "one after the other"),
        ([piece(chords=np.zeros((0, 4), np.int16))], "shape"),
        ([piece(chords=np.zeros((4, 3), np.int16))], "shape"),
        ([piece(chords=np.full((1, 4), -1, np.int16))], "pitches"),
        ([piece(chords=np.full((1, 4), 128, np.int16))], "pitches"),
    ],
)
def test_pieces_that_the_page_would_show_wrong_are_refused(pieces: list[Piece], words: str):
    with pytest.raises(ValueError, match=words):
        built(*pieces)


@pytest.mark.parametrize("tempo", [0.0, -1.0, math.inf, math.nan])
def test_tempo_that_cannot_move_a_playhead_is_refused(tempo: float):
    with pytest.raises(ValueError, match="tempo"):
        next(build("", tempo, [], link=lambda key: key))


def test_texts_can_be_read_in_light_and_in_dark():
    css = built()["page/page.css"].content.decode()
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+);", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.S)
    )
    assert len(light) == len(dark) > 5
    for colors in (light, dark):
        for text in ("text", "muted", "accent"):
            for ground in ("paper", "wash"):
                assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)  # WCAG 2 AA
        # Drawn voices, on the page and in the player, and edges of buttons.
        for ground in ("paper", "wash"):
            for voice in ("soprano", "alto", "tenor", "bass"):
                assert contrast(colors[voice], colors[ground]) >= 3, (voice, ground)  # WCAG 1.4.11
        assert contrast(colors["edge"], colors["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
