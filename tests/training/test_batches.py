"""Shuffled batches: what decides how many steps a worker takes, and what it trains on."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rnnray.training.batches import shuffled_batches

SIZES = st.lists(st.integers(0, 40), max_size=8)
POOLS = st.integers(0, 60)


def tables_of(sizes: list[int]) -> list[pa.Table]:
    ends = np.cumsum(sizes)
    return [
        pa.table({"id": np.arange(end - size, end)}) for size, end in zip(sizes, ends, strict=True)
    ]


def ids(batches: list[pa.Table]) -> list[int]:
    return [number for batch in batches for number in batch["id"].to_pylist()]


@given(SIZES, st.integers(1, 25), POOLS, st.integers(0, 3))
def test_no_row_is_lost_or_seen_twice_in_an_epoch(
    sizes: list[int], rows: int, pool: int, seed: int
) -> None:
    batches = list(shuffled_batches(tables_of(sizes), rows, pool, (seed,)))
    assert sorted(ids(batches)) == list(range(sum(sizes)))


@given(SIZES, st.integers(1, 25), POOLS)
def test_every_batch_is_full_but_the_last_so_that_workers_take_equally_many_steps(
    sizes: list[int], rows: int, pool: int
) -> None:
    lengths = [len(batch) for batch in shuffled_batches(tables_of(sizes), rows, pool, (1,))]
    assert len(lengths) == -(-sum(sizes) // rows)
    assert all(length == rows for length in lengths[:-1])
    assert all(0 < length <= rows for length in lengths[-1:])


@given(SIZES, st.integers(1, 25), POOLS, st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_the_same_seed_gives_the_same_batches_or_a_resumed_epoch_would_skip_other_rows(
    sizes: list[int], rows: int, pool: int, seed: tuple[int, int]
) -> None:
    first, second = (
        [ids([batch]) for batch in shuffled_batches(tables_of(sizes), rows, pool, seed)]
        for _ in range(2)
    )
    assert first == second


@given(SIZES, st.integers(1, 25), st.integers(0, 1))
def test_without_a_pool_the_order_of_the_data_is_kept(
    sizes: list[int], rows: int, pool: int
) -> None:
    batches = list(shuffled_batches(tables_of(sizes), rows, pool, (0,)))
    assert ids(batches) == list(range(sum(sizes)))


def test_neighbours_in_the_data_are_mixed_over_the_pool() -> None:
    order = np.array(ids(list(shuffled_batches(tables_of([50] * 40), 10, 500, (0,)))))
    # A drawing from anywhere in the pool: hundreds of places away, not a few.
    assert np.abs(order - np.arange(len(order))).mean() > 100
    other = ids(list(shuffled_batches(tables_of([50] * 40), 10, 500, (1,))))
    assert other != order.tolist()


def test_the_pool_bounds_what_is_held_in_memory() -> None:
    read = 0

    def tables() -> "list[pa.Table]":
        nonlocal read
        for table in tables_of([50] * 40):
            read += len(table)
            yield table

    given_out = 0
    for batch in shuffled_batches(tables(), 10, 200, (0,)):
        given_out += len(batch)
        assert read - given_out <= 200 + 50
    assert given_out == 2000
