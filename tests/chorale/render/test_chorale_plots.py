"""Plots of chorales, examined before they are saved."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from test_plot_style import PALETTE, assert_all_text_inside, keep_figures, pixels

from rnnray.chorale.data import chorale_table
from rnnray.chorale.data.corpus_statistics import Statistics, statistics_of
from rnnray.chorale.render import chorale_plots
from rnnray.chorale.render.chorale_plots import VOICES

TRIAD = [72, 67, 64, 48]


def chords(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int16)


def random_chords(steps: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    held = rng.integers([67, 62, 55, 43], [75, 70, 63, 51], (steps // 3 + 1, 4), np.int16)
    return np.repeat(held, 3, axis=0)[:steps]


def statistics(pieces: list[np.ndarray]) -> Statistics:
    return statistics_of(
        chorale_table.from_chorales(
            (f"{number}", "test", piece) for number, piece in enumerate(pieces)
        )
    )


def bars(axes: Axes) -> list[list[tuple[float, float, float, float]]]:
    """The (left, right, bottom, top) of each bar, by voice."""
    return [
        [
            (*path.vertices[:, 0][[0, 2]].tolist(), *path.vertices[:, 1][[0, 1]].tolist())
            for path in collection.get_paths()
        ]
        for collection in axes.collections
        if isinstance(collection, PolyCollection)
    ]


# --- piano roll ---


@pytest.mark.parametrize(
    "roll", [random_chords(1), random_chords(130), np.zeros((8, 4), np.int16)], ids=len
)
def test_roll_of_any_length_or_of_silence_is_a_whole_picture(
    tmp_path: Path, roll: np.ndarray
) -> None:
    path = tmp_path / "new" / "roll.png"
    chorale_plots.piano_roll(path, roll, "A chorale", given=min(8, len(roll)))
    pixels(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_given_voice_is_outlined_and_its_repeated_notes_are_apart(drawn: list[Figure]) -> None:
    given, onsets = np.zeros((2, 4, 4), bool)
    given[:, 0] = onsets[::2, 0] = True
    roll = chords(*[TRIAD] * 4)
    chorale_plots.piano_roll(Path("unused"), roll, "", given_notes=given, onsets=onsets)
    soprano, *others = [
        [(left, right) for left, right, *_ in voice] for voice in bars(drawn[0].axes[0])
    ]
    assert len(soprano) == 2
    assert soprano[0][1] < soprano[1][0] == 2
    assert others == [[(0, 4)]] * len(others)
    outlines = [
        len(voice.get_edgecolors())
        for voice in drawn[0].axes[0].collections
        if voice.get_zorder() == 2
    ]
    assert outlines == [2, 0, 0, 0]


def test_a_held_note_is_one_bar_and_silence_is_none(drawn: list[Figure]) -> None:
    roll = chords(TRIAD, TRIAD, [74, 67, 0, 48], [0, 67, 64, 0])
    chorale_plots.piano_roll(Path("unused"), roll, "Four chords")
    spans = [[(left, right) for left, right, *_ in voice] for voice in bars(drawn[0].axes[0])]
    assert spans == [[(0, 2), (2, 3)], [(0, 4)], [(0, 2), (3, 4)], [(0, 3)]]


@settings(max_examples=15)
@given(
    npst.arrays(
        np.int16, st.tuples(st.integers(1, 40), st.just(4)), elements=st.sampled_from([0, 60, 61])
    )
)
def test_every_note_of_every_voice_is_seen_at_its_pitch(roll: np.ndarray) -> None:
    with pytest.MonkeyPatch.context() as patch:
        figures = keep_figures(patch)
        chorale_plots.piano_roll(Path("unused"), roll, "Three pitches")
    painted: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for voice, voice_bars in enumerate(bars(figures[0].axes[0])):
        for left, right, bottom, top in voice_bars:
            pitch = round((bottom + top) / 2)
            assert pitch - 0.5 < bottom < top < pitch + 0.5
            assert top - bottom > 0.2, "a voice in unison is hidden"
            for step in range(int(left), int(right)):
                assert roll[step, voice] == pitch
                painted.setdefault((step, pitch), []).append((bottom, top))
    assert sum(map(len, painted.values())) == np.count_nonzero(roll)
    for together in painted.values():  # from the highest voice down, none over another
        for upper, lower in pairwise(together):
            assert upper[0] >= lower[1] - 1e-9


def test_a_long_roll_breaks_into_lines_and_goes_on_where_it_was(drawn: list[Figure]) -> None:
    chorale_plots.piano_roll(Path("unused"), np.full((300, 4), TRIAD, np.int16), "Long", given=140)
    lines = drawn[0].axes
    assert [tuple(axes.get_xlim()) for axes in lines] == [(0, 128), (128, 256), (256, 384)]
    assert [[bar[:2] for bar in bars(axes)[0]] for axes in lines] == [
        [(0, 128)],
        [(128, 256)],
        [(256, 300)],
    ]
    assert [text.get_text() for text in lines[1].get_xticklabels()] == [
        str(bar) for bar in range(9, 17)
    ]
    shaded = [
        [tuple(patch.get_extents().transformed(axes.transData.inverted()).intervalx.round(6))
         for patch in axes.patches[1:]] for axes in lines
    ]  # fmt: skip
    assert shaded == [[(0, 128)], [(128, 140)], []]


def test_bars_and_beats_stand_every_16_and_4_steps(drawn: list[Figure]) -> None:
    chorale_plots.piano_roll(Path("unused"), random_chords(40), "Two and a half bars")
    beats, bar_lines = (
        collection
        for collection in drawn[0].axes[0].collections
        if isinstance(collection, LineCollection)
    )
    assert [segment[0][0] for segment in bar_lines.get_segments()] == [0, 16, 32]
    assert [segment[0][0] for segment in beats.get_segments()] == list(range(0, 41, 4))
    assert bar_lines.get_linewidths()[0] > beats.get_linewidths()[0]


def test_pitches_have_their_names(drawn: list[Figure]) -> None:
    chorale_plots.piano_roll(Path("unused"), chords(TRIAD), "C major")
    axes = drawn[0].axes[0]
    names = {text.get_text(): text.get_position()[1] for text in axes.get_yticklabels()}
    assert names == {"C3": 48, "E3": 52, "G3": 55, "C4": 60, "E4": 64, "G4": 67, "C5": 72}


@pytest.mark.parametrize("given", [0, 1])
def test_legend_names_voices_by_colour_and_what_was_given(drawn: list[Figure], given: int) -> None:
    chorale_plots.piano_roll(Path("unused"), chords(TRIAD, TRIAD), "C major", given)
    legend = drawn[0].legends[0]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["soprano", "alto", "tenor", "bass", "given"][: 4 + given]
    polygons = [c for c in drawn[0].axes[0].collections if isinstance(c, PolyCollection)]
    colours = [to_rgba(color) for color in VOICES.values()]
    assert [patch.get_facecolor() for patch in legend.get_patches()][:4] == colours
    assert [tuple(polygon.get_facecolor()[0]) for polygon in polygons] == colours
    assert set(VOICES.values()) == set(PALETTE)


@pytest.mark.parametrize("steps", [1, 8, 16, 64, 640])
def test_text_of_the_roll_stays_inside_the_picture(drawn: list[Figure], steps: int) -> None:
    title = r"Chorale composed after test:2, temperature 0.8, seed 42, $\nonsense$ " * 3
    chorale_plots.piano_roll(Path("unused"), random_chords(steps), title, given=1)
    assert_all_text_inside(drawn[0])


@pytest.mark.parametrize(("shape", "given"), [((0, 4), 0), ((8, 3), 0), ((8,), 0), ((8, 4), 9)])
def test_roll_of_what_are_no_chords_is_refused(
    tmp_path: Path, shape: tuple[int, ...], given: int
) -> None:
    with pytest.raises(ValueError, match=f"{given} given"):
        chorale_plots.piano_roll(tmp_path / "r.png", np.full(shape, 60, np.int16), "No", given)


# --- pitches ---


def test_histogram_shows_shares_of_the_voices_own_notes(drawn: list[Figure]) -> None:
    composed = [chords([60, 0, 50, 40], [62, 0, 50, 40]), chords([60, 0, 50, 40], [60, 0, 50, 0])]
    bach = [chords([62, 57, 50, 40])]
    chorale_plots.pitch_histogram(Path("unused"), composed, statistics(bach))
    panels = drawn[0].axes
    assert [axes.get_ylabel() for axes in panels] == list(VOICES)
    shown = [
        {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.containers[0]}
        for axes in panels
    ]
    assert [{p: share for p, share in bar.items() if share} for bar in shown] == [
        {60: 0.75, 62: 0.25},
        {},
        {50: 1},
        {40: 1},
    ]
    outline = panels[0].patches[-1].get_data()
    assert dict(zip(outline.edges + 0.5, outline.values, strict=False))[62] == 1
    assert len({axes.get_ylim() for axes in panels}) == 1
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert legend == ["composed (chorales: 2)", "Bach (1)"]
    assert_all_text_inside(drawn[0])


def test_histogram_is_a_picture_even_of_silence(tmp_path: Path) -> None:
    silence = [np.zeros((4, 4), np.int16)]
    more = statistics([random_chords(640)])
    chorale_plots.pitch_histogram(tmp_path / "silence.png", silence, statistics(silence))
    chorale_plots.pitch_histogram(tmp_path / "notes.png", [random_chords(64)], more)
    pixels(tmp_path / "silence.png")
    pixels(tmp_path / "notes.png")


def test_histogram_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no chorales"):
        chorale_plots.pitch_histogram(tmp_path / "h.png", [], statistics([random_chords(8)]))
