"""The feed: batches made ahead by a thread, and errors that reach the right place."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
import ray.exceptions
from toy import ToyTask, rows

from rnnray.errors import UserError
from rnnray.training.feed import Batch, Feed, padded_batch


def chunks(count: int, size: int = 10) -> Iterator[pa.Table]:
    table = rows(count)
    yield from (table.slice(start, size) for start in range(0, count, size))


def drained(feed: Feed) -> list[Batch]:
    batches = []
    while (batch := feed.take()) is not None:
        batches.append(batch)
    return batches


def make(tables: Iterator[pa.Table], **options: object) -> Feed:
    return Feed(ToyTask(), lambda: tables, rows=8, padded_rows=8, **options)  # type: ignore[arg-type]


def weights_of(batches: list[Batch]) -> list[float]:
    return [float(batch.weights.sum()) for batch in batches]


def test_every_row_counts_once_and_the_short_last_batch_has_the_shape_of_the_others() -> None:
    batches = drained(make(chunks(30)))
    assert weights_of(batches) == [8, 8, 8, 6]
    assert {batch.inputs.shape for batch in batches} == {(8, 4)}
    counted = np.concatenate([batch.inputs[batch.weights > 0] for batch in batches])
    np.testing.assert_array_equal(counted, ToyTask().batch(rows(30))[0])


def test_rows_that_fill_up_are_the_batch_s_own_and_have_no_weight() -> None:
    batch = padded_batch(ToyTask(), rows(3), 8)
    inputs, targets, _ = ToyTask().batch(rows(3))
    order = [0, 1, 2, 0, 1, 2, 0, 1]
    np.testing.assert_array_equal(batch.inputs, inputs[order])
    np.testing.assert_array_equal(batch.targets, targets[order])
    assert batch.weights.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert batch.weights.dtype == np.float32


def test_a_resumed_epoch_goes_on_with_the_very_batch_that_was_next() -> None:
    whole = drained(make(chunks(50), pool_rows=20, seed=(1, 2)))
    rest = drained(make(chunks(50), pool_rows=20, seed=(1, 2), skip=3))
    assert len(rest) == len(whole) - 3
    for left, right in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(left.inputs, right.inputs)


def test_a_worker_that_resumes_behind_its_last_batch_has_one_to_idle_with() -> None:
    feed = make(chunks(20), skip=3)
    assert feed.take() is None
    assert feed.had_rows
    assert feed.idle().inputs.shape == (8, 4)
    nothing = make(chunks(0))
    assert nothing.take() is None
    assert not nothing.had_rows


def test_a_bad_drawing_is_kept_as_an_error_for_the_other_workers_to_hear_of() -> None:
    def tables() -> Iterator[pa.Table]:
        yield rows(16)
        raise UserError("shard 3: damaged at byte 77")

    feed = make(tables())
    batches = drained(feed)
    assert weights_of(batches) == [8, 8]
    assert str(feed.error) == "shard 3: damaged at byte 77"


def test_a_bad_drawing_met_in_another_process_is_found_inside_ray_s_error() -> None:
    def tables() -> Iterator[pa.Table]:
        wrapped = ray.exceptions.RayTaskError("read", "Traceback ...", UserError("line 3: broken"))
        raise wrapped.as_instanceof_cause()
        yield

    feed = make(tables())
    assert feed.take() is None
    assert str(feed.error) == "line 3: broken"


def test_an_error_that_is_not_the_data_s_is_raised_where_the_training_runs() -> None:
    def tables() -> Iterator[pa.Table]:
        yield rows(8)
        raise ZeroDivisionError("a bug")

    feed = make(tables())
    assert feed.take() is not None
    with pytest.raises(ZeroDivisionError, match="a bug"):
        feed.take()
    assert feed.error is None


def test_an_idle_worker_s_batch_has_the_same_shape_and_no_weight() -> None:
    feed = make(chunks(12))
    drained(feed)
    idle = feed.idle()
    assert idle.inputs.shape == (8, 4)
    assert idle.targets.shape == (8,)
    assert idle.weights.tolist() == [0.0] * 8


def test_the_thread_ends_with_the_data_or_threads_would_pile_up_over_epochs() -> None:
    def feeds() -> int:
        return sum(thread.name == "feed" for thread in threading.enumerate())

    before = feeds()
    for _ in range(5):
        drained(make(chunks(30)))
    wait_until(lambda: feeds() <= before)


@pytest.mark.parametrize("skip", [0, 3, 10_000])
def test_the_thread_of_a_feed_that_is_closed_early_ends_without_reading_to_the_end(
    skip: int,
) -> None:
    before, read = threading.active_count(), 0

    def endless() -> Iterator[pa.Table]:
        nonlocal read
        while True:
            read += 1
            time.sleep(0.001)
            yield rows(8)

    with make(endless(), skip=skip) as feed:
        if skip < 100:
            feed.take()
    wait_until(lambda: threading.active_count() <= before)
    assert read < 100


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_reads_a_few_batches_ahead_and_not_the_whole_data_into_memory() -> None:
    read = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal read
        for table in chunks(8000, 8):
            read += 1
            yield table

    feed = make(tables())
    assert feed.take() is not None
    time.sleep(0.2)
    assert 2 <= read < 20


def test_the_time_spent_waiting_for_data_is_measured() -> None:
    def slow() -> Iterator[pa.Table]:
        for table in chunks(24, 8):
            time.sleep(0.1)
            yield table

    feed = make(slow())
    drained(feed)
    assert 0.2 < feed.waited_seconds < 5
