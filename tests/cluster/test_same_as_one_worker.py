"""N workers at a global batch B compute what one worker computes at batch B."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steps_worker import CLIP_NORM, STEPS, chorale_batches

SCRIPT = Path(__file__).parent / "steps_worker.py"
Weights = dict[str, np.ndarray]

# Sums over two workers are added in another order than over one, which changes the last bit of a
# gradient (6e-8 of its size); Adam's division by its square root passes that on at full size where
# gradients are small. Over 20 steps of 0.01 we measured 1e-6 without and 2e-6 with batch
# normalisation, for weights of about 1. A wrong order of summing and clipping gives 0.1.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> tuple[Weights, ...]:
    """What one worker ends with, and each of two."""
    folder = tmp_path_factory.mktemp("steps")
    one, *two = free_ports(3)
    outputs = [folder / f"{name}.npz" for name in ("one", "first", "second")]
    groups = [(0, [one]), (0, two), (1, two)]
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), ",".join(map(str, ports)), output],
            stderr=subprocess.PIPE,
            text=True,
        )
        for (rank, ports), output in zip(groups, outputs, strict=True)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=150)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    return tuple(dict(np.load(output)) for output in outputs)


def difference(left: Any, right: Any) -> float:
    return float(np.abs(left - right).max())


def test_clipping_bites_at_every_step_or_this_file_would_prove_little(results: Any) -> None:
    norms = results[0]["plain.norms"]
    assert len(norms) == STEPS
    assert norms.min() > 2 * CLIP_NORM


def test_two_workers_end_with_the_weights_of_one(results: Any) -> None:
    one, first, _ = results
    assert difference(one["plain.weights"], first["plain.weights"]) < TOLERANCE


def test_two_workers_with_synchronised_batch_normalisation_do_too(results: Any) -> None:
    one, first, _ = results
    assert difference(one["synchronized.weights"], first["synchronized.weights"]) < TOLERANCE
    moving = one["synchronized.moving"]
    assert moving.size == 48
    assert difference(moving, first["synchronized.moving"]) < TOLERANCE


def test_two_workers_change_drawings_alike_and_average_the_same_weights(results: Any) -> None:
    one, first, _ = results
    assert difference(one["everything.weights"], first["everything.weights"]) < TOLERANCE


def test_a_step_that_is_not_finite_on_one_worker_is_skipped_on_both(results: Any) -> None:
    one, first, second = results
    for kind in ("weights", "moving"):
        name = f"skipping.{kind}"
        assert np.isfinite(first[name]).all()
        assert difference(one[name], first[name]) < TOLERANCE
        np.testing.assert_array_equal(first[name], second[name])
    assert difference(first["skipping.weights"], first["synchronized.weights"]) > 10 * TOLERANCE


def test_two_workers_do_too_where_rows_count_for_different_numbers_of_notes(results: Any) -> None:
    one, first, _ = results
    notes = [sum(piece.size for piece in pieces) for pieces in chorale_batches()]
    for result in (one, first):
        np.testing.assert_array_equal(result["chorale.notes"], notes)
    np.testing.assert_allclose(one["chorale.losses"], first["chorale.losses"], rtol=1e-5)
    assert difference(one["chorale.weights"], first["chorale.weights"]) < TOLERANCE
    # It went far enough that another weight of the rows would show: if all rows counted the same,
    # weights would differ by 0.05.
    assert one["chorale.losses"][-1] < one["chorale.losses"][0] - 0.1


def test_both_workers_hold_the_same_weights_to_the_last_bit(results: Any) -> None:
    _, first, second = results
    for case in ("plain", "synchronized", "everything", "chorale"):
        np.testing.assert_array_equal(first[f"{case}.weights"], second[f"{case}.weights"])


def test_a_step_that_clips_before_it_sums_would_be_caught(results: Any) -> None:
    one, first, _ = results
    assert difference(one["naive.weights"], one["plain.weights"]) < TOLERANCE
    assert difference(one["naive.weights"], first["naive.weights"]) > 100 * TOLERANCE
