"""The batches of an epoch: what decides which rows a worker trains on, and in which step."""

import threading
import time
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
import ray.exceptions
from hypothesis import given
from hypothesis import strategies as st
from observed import wait_until
from toy import ToyTask, rows

from rnnray.errors import UserError
from rnnray.training.batches import Batch, Feed, Share, epoch_batches, padded_batch
from rnnray.training.rows import Blocks

SIZES = st.lists(st.integers(0, 40), max_size=8)
POOLS = st.integers(0, 60)


def blocks_of(sizes: list[int]) -> Blocks:
    ends = np.cumsum(sizes)
    return Blocks.of(
        pa.table({"id": np.arange(end - size, end)}) for size, end in zip(sizes, ends, strict=True)
    )


def ids(share: Share) -> list[int]:
    return list(share.rows["id"].to_pylist()[: share.counted])


def batches_of(sizes: list[int], workers: int = 1, **options: object) -> list[list[int]]:
    """The batches of all workers together."""
    shares = [
        list(epoch_batches(blocks_of(sizes), rank=rank, workers=workers, **options))  # type: ignore[arg-type]
        for rank in range(workers)
    ]
    return [[*chain.from_iterable(map(ids, batch))] for batch in zip(*shares, strict=True)]


def flat(batches: list[list[int]]) -> list[int]:
    return [*chain.from_iterable(batches)]


@given(SIZES, st.integers(1, 25), POOLS, st.integers(0, 3), st.integers(1, 4))
def test_no_row_is_lost_or_seen_twice_in_an_epoch(
    sizes: list[int], rows: int, pool: int, seed: int, workers: int
) -> None:
    batches = batches_of(sizes, workers, batch_rows=rows, pool_rows=pool, seed=(seed,))
    assert sorted(flat(batches)) == list(range(sum(sizes)))
    assert [len(batch) for batch in batches[:-1]] == [rows] * (-(-sum(sizes) // rows) - 1)


@given(SIZES, st.integers(1, 25), POOLS, st.integers(2, 5))
def test_any_number_of_workers_takes_the_batches_of_one(
    sizes: list[int], rows: int, pool: int, workers: int
) -> None:
    alone = batches_of(sizes, batch_rows=rows, pool_rows=pool, seed=(1, 2))
    assert batches_of(sizes, workers, batch_rows=rows, pool_rows=pool, seed=(1, 2)) == alone


@given(SIZES, st.integers(1, 25), POOLS, st.integers(0, 12), st.integers(1, 3))
def test_an_epoch_goes_on_after_any_batch_on_another_number_of_workers_too(
    sizes: list[int], rows: int, pool: int, first: int, workers: int
) -> None:
    whole = batches_of(sizes, batch_rows=rows, pool_rows=pool, seed=(7, 1))
    rest = batches_of(sizes, workers, batch_rows=rows, pool_rows=pool, seed=(7, 1), first=first)
    assert rest == whole[first:]


@pytest.mark.parametrize(("rows", "batch", "steps"), [(1600, 8, 200), (1600, 32, 50)])
def test_a_batch_that_three_workers_do_not_divide_evenly_takes_no_more_steps(
    rows: int, batch: int, steps: int
) -> None:
    shares = [
        list(epoch_batches(blocks_of([200] * (rows // 200)), batch_rows=batch, rank=r, workers=3))
        for r in range(3)
    ]
    assert [len(each) for each in shares] == [steps] * 3
    assert {share.counted for each in shares for share in each} == {batch // 3, batch // 3 + 1}


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 6))
def test_the_shares_of_a_batch_differ_by_one_row_at_most(
    rows: int, batch: int, workers: int
) -> None:
    shares = [
        [*epoch_batches(blocks_of([rows]), batch_rows=batch, rank=rank, workers=workers)]
        for rank in range(workers)
    ]
    for of_batch in zip(*shares, strict=True):
        counted = [share.counted for share in of_batch]
        assert max(counted) - min(counted) <= 1


def test_a_worker_without_a_row_in_the_last_batch_has_one_that_does_not_count() -> None:
    first, second = (
        [*epoch_batches(blocks_of([5]), batch_rows=4, rank=rank, workers=2)][-1] for rank in (0, 1)
    )
    assert sorted([(len(s.rows), s.counted) for s in (first, second)]) == [(1, 0), (1, 1)]


@given(SIZES, st.integers(1, 25))
def test_without_a_pool_the_order_of_the_data_is_kept(sizes: list[int], rows: int) -> None:
    assert flat(batches_of(sizes, batch_rows=rows)) == list(range(sum(sizes)))


def test_neighbours_are_mixed_over_the_pool_and_blocks_over_the_epoch() -> None:
    order = np.array(flat(batches_of([50] * 40, batch_rows=10, pool_rows=500)))
    # A row from anywhere: hundreds of rows away, not a few.
    assert np.abs(order - np.arange(len(order))).mean() > 300
    first_pool = {row // 50 for row in order[:500]}
    assert len(first_pool) == 10
    assert max(first_pool) - min(first_pool) > 20


def test_each_pool_is_mixed_in_its_own_way() -> None:
    order = np.array(flat(batches_of([100] * 2, batch_rows=10, pool_rows=100, seed=(3,))))
    assert (order[:100] % 100).tolist() != (order[100:] % 100).tolist()


def test_each_epoch_has_another_order_and_the_same_seed_the_same_one() -> None:
    def epoch(number: int) -> list[list[int]]:
        return batches_of([5] * 400, batch_rows=10, pool_rows=100, seed=(42, number))

    assert epoch(0) == epoch(0)
    orders = [np.argsort(flat(epoch(number))) for number in range(3)]
    for left, right in ((0, 1), (1, 2)):
        assert abs(np.corrcoef(orders[left], orders[right])[0, 1]) < 0.2


def test_the_pool_bounds_what_is_held_and_skipped_batches_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = 0

    def table(blocks: Blocks, index: int) -> pa.Table:
        nonlocal read
        read += blocks.counts[index]
        return blocks.tables[index]

    monkeypatch.setattr(Blocks, "table", table)
    given_out = 1000
    blocks = blocks_of([50] * 40)
    for share in epoch_batches(blocks, batch_rows=10, pool_rows=200, first=100):
        given_out += share.counted
        assert read + 1000 - given_out <= 200 + 50
    assert (given_out, read) == (2000, 1000)


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
