"""The batches of an epoch: what decides which rows a worker trains on, and in which step."""

from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnray.training.batches import Share, epoch_batches
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
    # A row from anywhere: hundreds of places away, not a few.
    assert np.abs(order - np.arange(len(order))).mean() > 300
    first_pool = {row // 50 for row in order[:500]}
    assert len(first_pool) == 10
    assert max(first_pool) - min(first_pool) > 20


def test_each_epoch_has_another_order_and_the_same_seed_the_same_one() -> None:
    def epoch(number: int) -> list[list[int]]:
        return batches_of([5] * 400, batch_rows=10, pool_rows=100, seed=(42, number))

    assert epoch(0) == epoch(0)
    places = [np.argsort(flat(epoch(number))) for number in range(3)]
    for left, right in ((0, 1), (1, 2)):
        assert abs(np.corrcoef(places[left], places[right])[0, 1]) < 0.2


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
