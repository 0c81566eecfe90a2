import gzip
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import refused

from rnnray.errors import UserError
from rnnray.sketch.data.ink import ink_to_strokes, strokes_to_ink
from rnnray.sketch.data.ndjson import read
from rnnray.sketch.data.simplify import simplify

SAMPLE = Path(__file__).parents[4] / "shared/data/quickdraw_simplified_sample.ndjson.gz"

SQUARE = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]
SIMPLIFIED = {
    "word": "square",
    "countrycode": "CH",
    "timestamp": "2017-03-02 23:25:10.07453 UTC",
    "recognized": True,
    "key_id": "5201136883597312",
    "drawing": SQUARE,
}


def line(**changes):
    return json.dumps(SIMPLIFIED | changes).encode() + b"\n"


def parse(text):
    """Read a line as the seventh one of a file."""
    (drawing,) = read([b"\n"] * 6 + [text], file="drawings.ndjson")
    return drawing


def recorded(strokes, scale, noise, seed=0):
    """The strokes as a pen would report them: many points, larger, elsewhere, timestamps."""
    random = np.random.default_rng(seed)
    raw = []
    for stroke in np.array(strokes, dtype=float):
        at = np.linspace(0, stroke.shape[1] - 1, 200)
        xy = [np.interp(at, np.arange(stroke.shape[1]), axis) * scale + 31.25 for axis in stroke]
        xy += random.uniform(-noise, noise, (2, 200)) * scale
        raw.append([*xy.tolist(), list(range(0, 3200, 16))])
    return raw


def test_a_simplified_line_keeps_its_word_and_number_and_becomes_ink():
    drawing = parse(line())
    assert (drawing.word, drawing.key_id) == ("square", "5201136883597312")
    assert drawing.ink.dtype == np.float32
    assert drawing.ink.tolist() == [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 1]]


def test_a_line_may_have_letters_beyond_ascii():
    text = json.dumps(SIMPLIFIED | {"word": "Gemälde"}, ensure_ascii=False)
    assert parse(text.encode()).word == "Gemälde"


def test_drawings_without_a_word_can_still_be_classified():
    drawing = parse(json.dumps({"drawing": SQUARE}).encode())
    assert (drawing.word, drawing.key_id) == (None, None)


def test_a_key_id_written_as_the_integer_of_the_document_is_kept():
    assert parse(line(key_id=5201136883597312)).key_id == "5201136883597312"


def test_a_raw_line_is_simplified_before_it_becomes_ink():
    raw = recorded(SQUARE, scale=2.5, noise=0)
    expected = strokes_to_ink(simplify([stroke[:2] for stroke in raw]))
    np.testing.assert_array_equal(parse(line(drawing=raw)).ink, expected)
    assert len(expected) < 10  # the 200 points of the pen are gone


@pytest.mark.parametrize("scale", [0.3, 1, 7.9])
def test_a_raw_drawing_with_timestamps_and_noise_reads_like_its_simplified_form(scale):
    (raw,) = ink_to_strokes(parse(line(drawing=recorded(SQUARE, scale=scale, noise=0.2))).ink)
    (corners,) = ink_to_strokes(parse(line()).ink)
    apart = 255 * np.linalg.norm(raw[:, :, None] - corners[:, None, :], axis=0)
    # Within epsilon, rounding and noise every corner is there, and no point that is not a corner.
    assert apart.min(axis=0).max() <= 4
    assert apart.min(axis=1).max() <= 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "broken JSON at column 2"),
        (b"not json", "broken JSON at column 1"),
        (line()[:100], "broken JSON"),
        (b'{"word": "\xff"}', "broken JSON .*utf-8"),
        (b"[1, 2]", "JSON object"),
        (b"{}", '"drawing" is missing'),
        (line(drawing=None), "list of strokes"),
        (line(drawing={"x": [1, 2], "y": [3, 4]}), "a drawing of one stroke is a list"),
        (line(drawing=[[[1, 2]]]), "1 point; it needs at least 2"),
        (line(drawing=[[[1, 2, 3, 4]] * 2, [[1, 2, 3, 4]] * 3]), "two lists"),
        (line(drawing=[[[1, 2], [3, 4, 5]]]), "stroke 1 "),
        (line(drawing=[[[1, 2], [3, 4, 5], [6, 7]]]), "stroke 1 "),
        (line(drawing=[[[1, None], [3, 4]]]), "stroke 1 "),
        (line(drawing=[[{"1": 2}, {"3": 4}]]), "stroke 1 "),
        (line(drawing=[]), "no points"),
        (line(drawing=[[[], []]]), "no points"),
        (line(drawing=[[[], [], []]]), "no points"),
        (line(drawing=[[[1], [2]]]), "1 point; it needs at least 2"),
        (line(drawing=[[[1.5], [2.5], [0]]]), "1 point; it needs at least 2"),
        (line(drawing=[[[1, float("inf")], [3, 4], [0, 1]]]), "infinite"),
        (line(drawing=[[[1, 10**400], [3, 4]]]), "stroke 1 "),
        (line(word=5), '"word" must be a string'),
        (line(word="\ud800"), "surrogate"),
        (line(key_id=[]), '"key_id" must be a string'),
        (line(key_id=True), '"key_id" must be a string'),
    ],
)
def test_a_bad_line_is_refused_in_one_line_that_names_file_and_line_number(text, message):
    assert re.match(rf"drawings\.ndjson:7: .*{message}", refused(parse, text))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b'{"drawing":' * 200_000,
        b'{"drawing":[[' + b"[" * 500 + b"]" * 500 + b",[1,2]]]}",
        b'{"drawing":[[[1,1' + b"0" * 100_000 + b"],[1,2]]]}",
    ],
    ids=["brackets", "objects", "nested-coordinates", "digits"],
)
def test_hostile_json_does_not_end_the_process(text):
    with pytest.raises(UserError, match=r"^drawings\.ndjson:7: "):
        parse(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(st.fixed_dictionaries({"drawing": json_values}, optional={"word": json_values}))
def test_any_json_gives_finite_ink_or_a_user_error(fields):
    try:
        drawing = parse(json.dumps(fields).encode())
    except UserError:
        return
    assert np.isfinite(drawing.ink).all()
    assert drawing.ink[-1, 2] == 1.0


@given(st.integers(0, len(line()) - 1), st.integers(0, 255))
def test_a_damaged_byte_gives_finite_ink_or_a_user_error(position, byte):
    damaged = bytearray(line())
    damaged[position] = byte
    try:
        drawing = parse(bytes(damaged))
    except UserError:
        return
    assert np.isfinite(drawing.ink).all()


def test_bad_lines_are_reported_by_number_and_the_rest_is_read():
    bad = []
    lines = [line(word="a"), b"\n", b"{\n", line(word="b"), b"  \n", line(drawing=[]), line()]
    words = [drawing.word for drawing in read(lines, file="x.ndjson", on_bad=bad.append)]
    assert words == ["a", "b", "square"]
    assert [str(error).split(": ")[0] for error in bad] == ["x.ndjson:3", "x.ndjson:6"]


def test_a_bad_line_stops_the_reading_unless_it_may_be_skipped():
    drawings = read([line(), b"{\n", line()], file="x.ndjson")
    assert next(drawings).word == "square"
    with pytest.raises(UserError, match=r"^x\.ndjson:2: broken JSON"):
        next(drawings)


def test_a_file_is_read_line_by_line_and_never_as_a_whole():
    endless = itertools.repeat(line())
    assert sum(1 for _ in itertools.islice(read(endless, file="x"), 100)) == 100


@pytest.mark.skipif(not SAMPLE.exists(), reason="the real drawings are not here")
def test_every_drawing_of_the_official_sample_is_read():
    with gzip.open(SAMPLE) as stream:
        drawings = list(read(stream, file=SAMPLE.name))
    assert len(drawings) == 6890
    assert len({drawing.key_id for drawing in drawings}) > 6000
    assert all(drawing.word and drawing.ink[-1, 2] == 1.0 for drawing in drawings)
