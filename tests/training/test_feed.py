"""The feed: batches made ahead by a thread, and errors that reach the right place."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import ray.exceptions
from toy import ToyTask, rows

from rnnray.errors import UserError
from rnnray.training.batches import Share
from rnnray.training.feed import Batch, Feed, padded_batch


def shares(count: int, size: int = 8) -> Iterator[Share]:
    table = rows(count)
    for start in range(0, count, size):
        part = table.slice(start, size)
        yield Share(part, len(part))


def drained(feed: Feed) -> list[Batch]:
    batches = []
    while (batch := feed.take()) is not None:
        batches.append(batch)
    return batches


def make(made: Iterator[Share]) -> Feed:
    return Feed(ToyTask(), lambda: made, padded_rows=8)


def weights_of(batches: list[Batch]) -> list[float]:
    return [float(batch.weights.sum()) for batch in batches]


def test_every_row_counts_once_and_the_short_last_batch_has_the_shape_of_the_others() -> None:
    batches = drained(make(shares(30)))
    assert weights_of(batches) == [8, 8, 8, 6]
    assert {batch.inputs.shape for batch in batches} == {(8, 4)}
    counted = np.concatenate([batch.inputs[batch.weights > 0] for batch in batches])
    np.testing.assert_array_equal(counted, ToyTask().batch(rows(30))[0])


def test_rows_that_fill_up_are_the_batch_s_own_and_have_no_weight() -> None:
    batch = padded_batch(ToyTask(), Share(rows(3), 3), 8)
    inputs, targets, _ = ToyTask().batch(rows(3))
    order = [0, 1, 2, 0, 1, 2, 0, 1]
    np.testing.assert_array_equal(batch.inputs, inputs[order])
    np.testing.assert_array_equal(batch.targets, targets[order])
    assert batch.weights.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert batch.weights.dtype == np.float32


def test_a_worker_without_a_row_in_a_batch_takes_the_step_without_weight() -> None:
    batch = padded_batch(ToyTask(), Share(rows(1), 0), 8)
    assert batch.inputs.shape == (8, 4)
    assert batch.weights.tolist() == [0.0] * 8


def test_a_bad_drawing_is_kept_as_an_error_for_the_other_workers_to_hear_of() -> None:
    def tables() -> Iterator[Share]:
        yield from shares(16)
        raise UserError("shard 3: damaged at byte 77")

    feed = make(tables())
    batches = drained(feed)
    assert weights_of(batches) == [8, 8]
    assert str(feed.error) == "shard 3: damaged at byte 77"


def test_a_bad_drawing_met_in_another_process_is_found_inside_ray_s_error() -> None:
    def tables() -> Iterator[Share]:
        wrapped = ray.exceptions.RayTaskError("read", "Traceback ...", UserError("line 3: broken"))
        raise wrapped.as_instanceof_cause()
        yield

    feed = make(tables())
    assert feed.take() is None
    assert str(feed.error) == "line 3: broken"


def test_an_error_that_is_not_the_data_s_is_raised_where_the_training_runs() -> None:
    def tables() -> Iterator[Share]:
        yield from shares(8)
        raise ZeroDivisionError("a bug")

    feed = make(tables())
    assert feed.take() is not None
    with pytest.raises(ZeroDivisionError, match="a bug"):
        feed.take()
    assert feed.error is None


def test_an_idle_worker_s_batch_has_the_same_shape_and_no_weight() -> None:
    feed = make(shares(12))
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
        drained(make(shares(30)))
    wait_until(lambda: feeds() <= before)


@pytest.mark.parametrize("taken", [0, 3])
def test_the_thread_of_a_feed_that_is_closed_early_ends_without_reading_to_the_end(
    taken: int,
) -> None:
    before, read = threading.active_count(), 0

    def endless() -> Iterator[Share]:
        nonlocal read
        while True:
            read += 1
            time.sleep(0.001)
            yield Share(rows(8), 8)

    with make(endless()) as feed:
        for _ in range(taken):
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

    def tables() -> Iterator[Share]:
        nonlocal read
        for table in shares(8000, 8):
            read += 1
            yield table

    feed = make(tables())
    assert feed.take() is not None
    time.sleep(0.2)
    assert 2 <= read < 20


def test_the_time_spent_waiting_for_data_is_measured() -> None:
    def slow() -> Iterator[Share]:
        for table in shares(24, 8):
            time.sleep(0.1)
            yield table

    feed = make(slow())
    drained(feed)
    assert 0.2 < feed.waited_seconds < 5
