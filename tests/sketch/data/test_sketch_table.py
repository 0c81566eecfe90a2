import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnray.sketch.data import sketch_table

NAMES = ("cat", "dog", "the Eiffel Tower")


def ink(points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((points, seed)).random((points, 3), np.float32)


def drawings(lengths: list[int]) -> pa.Table:
    inks = [ink(points, seed) for seed, points in enumerate(lengths)]
    return sketch_table.from_inks(inks, [i % 3 for i in range(len(inks))], NAMES)


@st.composite
def parts(draw: st.DrawFn) -> tuple[pa.Table, list[np.ndarray], list[int]]:
    """A table as Arrow hands them out, of slices and chunks, and what it holds."""
    lengths = draw(st.lists(st.integers(0, 12), max_size=10))
    inks = [ink(points, seed) for seed, points in enumerate(lengths)]
    classes = [i % 3 for i in range(len(inks))]
    whole = drawings(lengths)
    chunks, kept = [], []
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(inks)))
        stop = draw(st.integers(start, len(inks)))
        chunks.append(whole.slice(start, stop - start))
        kept += range(start, stop)
    rows = pa.concat_tables(chunks) if chunks else whole.schema.empty_table()
    return rows, [inks[i] for i in kept], [classes[i] for i in kept]


@given(parts())
def test_drawings_come_out_of_any_slice_as_they_went_in(
    case: tuple[pa.Table, list[np.ndarray], list[int]],
) -> None:
    rows, inks, _ = case
    out = sketch_table.inks_of(rows)
    assert len(out) == len(inks)
    for found, expected in zip(out, inks, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


@given(parts(), st.integers(1, 15))
def test_a_batch_is_each_drawing_cropped_or_filled_up_with_zeros(
    case: tuple[pa.Table, list[np.ndarray], list[int]], max_points: int
) -> None:
    rows, inks, classes = case
    batch, class_index = sketch_table.padded(rows, max_points)
    assert batch.shape == (len(inks), max_points, 3)
    assert batch.dtype == np.float32
    assert class_index.dtype == np.int64
    assert class_index.tolist() == classes
    for row, drawing in zip(batch, inks, strict=True):
        length = min(len(drawing), max_points)
        np.testing.assert_array_equal(row[:length], drawing[:length])
        assert not row[length:].any()


def test_a_table_of_no_chunks_is_a_batch_of_no_drawings() -> None:
    none = pa.table(
        {
            "ink": pa.chunked_array([], pa.list_(pa.float32())),
            "class_index": pa.chunked_array([], pa.int64()),
        }
    )
    batch, class_index = sketch_table.padded(none, 7)
    assert batch.shape == (0, 7, 3)
    assert class_index.shape == (0,)
    assert sketch_table.inks_of(none) == []
    assert sketch_table.bad_rows(none, 3, labelled=True) == []


def test_inks_that_lie_end_to_end_are_cut_at_their_lengths() -> None:
    values = ink(9)
    for shape in ((9, 3), (27,)):
        rows = sketch_table.from_arrays(
            values.reshape(shape), np.array([4, 0, 5]), np.array([0, 1, 2]), NAMES
        )
        found = sketch_table.inks_of(rows)
        assert [len(drawing) for drawing in found] == [4, 0, 5]
        np.testing.assert_array_equal(np.concatenate(found), values)


def test_the_class_names_travel_with_the_data_through_parquet(tmp_path) -> None:
    names = ("animal migration", "Gemälde", 'a "b"\n')
    rows = sketch_table.from_inks([ink(3)], [2], names)
    pq.write_table(rows, tmp_path / "x.parquet")
    assert sketch_table.class_names_of(pq.read_table(tmp_path / "x.parquet").schema) == names
    assert sketch_table.class_names_of(rows.slice(0, 1).schema) == names
    assert sketch_table.class_names_of(pa.schema([])) is None


def test_origin_columns_say_where_each_drawing_came_from() -> None:
    rows = drawings([2, 3])
    named = sketch_table.with_origin(rows, "a.ndjson", np.array([5, 9]), ["x", None])
    assert named.select(["file", "row", "key_id"]).to_pylist() == [
        {"file": "a.ndjson", "row": 5, "key_id": "x"},
        {"file": "a.ndjson", "row": 9, "key_id": None},
    ]
    without = sketch_table.with_origin(rows, "a", np.array([0, 1]), None)
    assert without.schema.equals(named.schema)  # or tables of two files could not be joined
    assert without["key_id"].null_count == 2


@pytest.mark.parametrize(
    ("values", "class_index", "reason"),
    [
        ([], 0, "ink is empty"),
        ([0.5, np.nan, 1.0], 0, "NaN or infinite"),
        ([0.5, -np.inf, 1.0], 0, "NaN or infinite"),
        ([0.5, None, 1.0], 0, "NaN or infinite"),
        (None, 0, "ink is empty"),
        ([0.5] * 4, 0, "ink has 4 values, which is not a multiple of 3"),
        ([0.5, 0.5, 1.0], 3, "class_index 3 is outside the class list of 3 names"),
        ([0.5, 0.5, 1.0], -1, "class_index -1 is outside the class list of 3 names; drawings with"),
        ([0.5, 0.5, 1.0], None, "outside the class list"),
        ([120, 3, 0, -64, 5, 1], 0, "ink spans 120 x 8 but must lie in a box of 1 x 1"),  # pixels
        ([1e30, 1e30, 1], 0, "ink spans 1e+30 x 1e+30"),
        ([-0.6, 0, 0, -0.6, 0, 1], 0, "ink spans 1.2 x 0"),
        ([1 / 255, 0, 0, 0, 0.5 / 255, 1], 0, "ink spans 0.003922 x 0.001961 but must fill a box"),
        ([1e-30, 0, 1], 0, "ink spans 1e-30 x 0 but must fill a box of 1 x 1"),
        ([0.5, 0.5, 0, 0.1, 0, 0], 0, "ink has no end of a stroke"),
        ([0.5, 0.5, 16, 0.1, 0, 32], 0, "the third value of a point is 16"),  # a time
    ],
)
@pytest.mark.parametrize("first", [0, 1])  # in a slice, rows count from the slice
def test_a_row_that_is_no_drawing_is_found_and_its_neighbours_are_not(
    values: list[float] | None, class_index: int | None, reason: str, first: int
) -> None:
    good = [1.0, 0.5, 0.0, -0.5, 0.5, 1.0]
    rows = pa.table(
        {
            "ink": pa.array([good, good, values, good], pa.list_(pa.float32())),
            "class_index": pa.array([0, 1, class_index, 2], pa.int64()),
        }
    )
    (found,) = sketch_table.bad_rows(rows.slice(first), 3, labelled=True)
    assert found[0] == 2 - first
    assert reason in found[1]


def test_a_dot_and_a_drawing_cropped_within_a_stroke_are_drawings() -> None:
    inks = [[[0, 0, 1]], [[1, 0, 1], [0, 1, 0]]]
    rows = sketch_table.from_inks([np.array(ink, np.float32) for ink in inks], [0, 1], NAMES)
    assert sketch_table.bad_rows(rows, 3, labelled=True) == []


def test_drawings_to_be_classified_need_no_class() -> None:
    rows = sketch_table.from_inks(
        [np.eye(3, dtype=np.float32)], [sketch_table.UNKNOWN_CLASS], NAMES
    )
    assert sketch_table.bad_rows(rows, 3, labelled=False) == []
    assert len(sketch_table.bad_rows(rows, 3, labelled=True)) == 1


def test_rows_without_weights_count_once_and_others_by_their_class() -> None:
    rows = drawings([2, 3, 4, 5])
    assert sketch_table.weights_of(rows).tolist() == [1, 1, 1, 1]
    weighted = sketch_table.with_weights(rows, np.array([0.5, 2, 4], np.float32))
    assert sketch_table.weights_of(weighted).tolist() == [0.5, 2, 4, 0.5]
    assert sketch_table.lengths_of(rows.slice(1)).tolist() == [3, 4, 5]
