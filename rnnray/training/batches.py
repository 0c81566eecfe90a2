"""Tables as they come from Ray Data -> shuffled tables of a batch's size."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa


def shuffled_batches(
    tables: Iterable[pa.Table], rows: int, pool_rows: int, seed: tuple[int, ...]
) -> Iterator[pa.Table]:
    """Yield tables of exactly `rows` rows, the last one shorter, every row exactly once.

    A pool of `pool_rows` rows is permuted, half of it is given out, and it is filled up again. Our
    own instead of Ray Data's local shuffle, which can give short batches in the middle of an
    epoch, so that workers would take different numbers of steps (ray issue 66085).

    Args:
        tables: of one schema.
        rows: of each batch.
        pool_rows: 0 or 1 for no shuffling.
        seed: the same seed and tables give the same batches.
    """
    rng = np.random.default_rng(seed)
    pool: list[pa.Table] = []
    have = 0

    for table in tables:
        pool.append(table)
        have += len(table)
        if have < max(pool_rows, rows):
            continue
        mixed = _permuted(pool, rng if pool_rows > 1 else None)
        give = max(have - pool_rows // 2, rows) // rows * rows
        yield from (mixed.slice(start, rows) for start in range(0, give, rows))
        pool, have = [mixed.slice(give)], have - give
    if have:
        mixed = _permuted(pool, rng if pool_rows > 1 else None)
        yield from (mixed.slice(start, rows) for start in range(0, have, rows))


def _permuted(tables: list[pa.Table], rng: np.random.Generator | None) -> pa.Table:
    table = pa.concat_tables(tables).combine_chunks()
    return table if rng is None else table.take(rng.permutation(len(table)))
