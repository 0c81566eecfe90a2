from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_plot_style import assert_all_text_inside, pixels

from rnnray.confusion_plot import confusion_matrix

LONG_NAME = "The Great Wall of China"


def shown_matrix(figure: Figure) -> tuple[list[str], np.ndarray]:
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == [label.get_text() for label in axes.get_xticklabels()]
    return rows, np.ma.filled(axes.images[0].get_array().astype(float), np.nan)


def test_confusions_are_shares_of_the_true_class_in_rows(drawn: list[Figure]) -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 2, 4]])
    confusion_matrix(Path("unused"), counts, ["cat", "dog", LONG_NAME])
    names, share = shown_matrix(drawn[0])
    assert names == ["cat", "dog", LONG_NAME]
    np.testing.assert_array_equal(share, [[75, 25, 0], [np.nan] * 3, [25, 25, 50]])
    axes = drawn[0].axes[0]
    numbers = {(t.get_position(), t.get_text()) for t in axes.texts}  # (predicted, true)
    assert numbers == {
        ((0, 0), "75"),
        ((1, 0), "25"),
        ((0, 2), "25"),
        ((1, 2), "25"),
        ((2, 2), "50"),
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert_all_text_inside(drawn[0])


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_worst_confused_pairs_stand_side_by_side(drawn: list[Figure], dtype: type) -> None:
    counts = np.diag(np.full(8, 200)).astype(dtype)
    counts[6, 1] = 30  # the worst pair, in one direction
    counts[2, 5] = counts[5, 2] = 14  # 28 in both
    counts[5, 0] = 20  # brings one new class
    counts[3, 4] = 10  # has no room left for two
    counts[7, 0] = 5
    confusion_matrix(Path("unused"), counts, list("abcdefgh"), worst=6)
    names, share = shown_matrix(drawn[0])
    assert names == ["b", "g", "c", "f", "a", "h"]
    assert share[1, 0] == pytest.approx(100 * 30 / 230)
    assert share[3, 3] == pytest.approx(100 * 200 / 234)


@pytest.mark.parametrize("worst", [2, 3, 20])
def test_as_many_classes_as_asked_for_even_without_confusions(
    drawn: list[Figure], worst: int
) -> None:
    confusion_matrix(
        Path("unused"), np.eye(30, dtype=int), [f"class {i}" for i in range(30)], worst
    )
    names, share = shown_matrix(drawn[0])
    assert len(set(names)) == worst
    np.testing.assert_array_equal(share, 100 * np.eye(worst))
    assert f"{worst} classes" in drawn[0].axes[0].get_title(loc="left")
    assert_all_text_inside(drawn[0])


@pytest.mark.parametrize("counts", [[[5]], [[0]]])
def test_confusion_matrix_of_one_class(tmp_path: Path, counts: list[list[int]]) -> None:
    confusion_matrix(tmp_path / "c.png", np.array(counts), ["animal migration"])
    pixels(tmp_path / "c.png")


def test_numbers_that_would_be_too_small_are_left_out(drawn: list[Figure]) -> None:
    names = [f"class {i}" for i in range(41)]
    confusion_matrix(Path("unused"), np.eye(41, dtype=int), names, worst=41)
    assert not drawn[0].axes[0].texts


@pytest.mark.parametrize(
    ("shape", "names", "worst"), [((2, 2), 3, 20), ((2, 3), 2, 20), ((0, 0), 0, 20), ((3, 3), 3, 1)]
)
def test_matrix_that_does_not_match_its_names_is_refused(
    tmp_path: Path, shape: tuple[int, int], names: int, worst: int
) -> None:
    with pytest.raises(ValueError, match=f"{names} names, worst={worst}"):
        confusion_matrix(tmp_path / "c.png", np.zeros(shape, int), ["x"] * names, worst)
