import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from observed import refused

from rnnray.chorale.data.csv_file import read_csv
from rnnray.errors import UserError

HEADER = b"note0,note1,note2,note3\n"


@given(
    arrays(
        np.int16,
        st.tuples(st.integers(1, 20), st.integers(1, 4)),
        elements=st.sampled_from([0, *range(36, 82)]),
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_every_pitch_is_read(voices: np.ndarray, newline: str, encoding: str) -> None:
    header = ",".join(f"note{voice}" for voice in range(voices.shape[1]))
    lines = [header, *(",".join(map(str, row)) for row in voices.tolist()), ""]
    read = read_csv(newline.join(lines).encode(encoding), "x.csv", any_voices=True)
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, voices)


def test_spaces_and_blank_lines_at_the_end_do_no_harm() -> None:
    assert read_csv(HEADER + b" 60, 61 ,62,0 \n\n\n", "x.csv").tolist() == [[60, 61, 62, 0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.csv: the file is empty"),
        (b" \n", "x.csv: the file is empty"),
        (HEADER, "x.csv: has a header but no chords"),
        (b"60,60,60,60\n", "x.csv, line 1: the header is '60,60,60,60', not note0,note1"),
        (b"note0;note1\n", "x.csv, line 1: the header is 'note0;note1'"),
        (b"note0,note1,note2\n60,60,60\n", "x.csv, line 1: the header is"),
        (HEADER + b"60,60,60,60\n60,60,60\n", "x.csv, line 3: has 3 values, not 4"),
        (HEADER + b"60,60,60,60\n\n60,60,60,60\n", "x.csv, line 3: has 0 values"),
        (HEADER + b"60,,60,60\n", "x.csv, line 2, note1: is missing"),
        (HEADER + b"60,60,do,60\n", "x.csv, line 2, note2: 'do' is not a pitch"),
        (HEADER + b"60.5,60,60,60\n", "x.csv, line 2, note0: '60.5' is not a pitch"),
        (HEADER + b"60,60,60,35\n", "x.csv, line 2, note3: pitch 35 is neither 0"),
        (HEADER + b"82,60,60,60\n", "x.csv, line 2, note0: pitch 82 is neither 0"),
        (HEADER + b"60,60,60,-60\n", "x.csv, line 2, note3: pitch -60 is neither 0"),
        (HEADER + b"9" * 6000 + b",60,60,60\n", "note0: '99999"),
        (HEADER + b"\xff,60,60,60\n", "x.csv: not UTF-8 text (byte 24)"),
    ],
)
def test_a_wrong_file_is_told_with_its_line_and_voice(content: bytes, message: str) -> None:
    line = refused(read_csv, content, "x.csv")
    assert message in line
    assert len(line) < 200


def test_five_voices_are_too_many_for_a_melody_too() -> None:
    with pytest.raises(UserError, match=r"line 1: the header is .*note4', not note0"):
        read_csv(b"note0,note1,note2,note3,note4\n1,2,3,4,5\n", "x.csv", any_voices=True)
