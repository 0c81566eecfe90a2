"""One of N processes that train on given global batches; run by test_same_as_one_worker.py.

Usage: steps_worker.py RANK PORTS OUTPUT, with the workers' ports on 127.0.0.1 joined by commas.
Writes OUTPUT (.npz): each case's weights after the last step, and its moving statistics; with one
worker also the norms that the gradients of the global batches have before they are clipped. Of the
composer the weights, and each step's loss and number of notes.
"""

import json
import os
import sys
from typing import Any

import numpy as np

STEPS, POINTS, CLASSES = 20, 60, "abcdef"
CHORDS, PIECES = 12, 7
CLIP_NORM = 0.05
# name: batch normalisation, rows of the global batch, who clips. The 29 rows are shared as 15 and
# 14, so that a row without weight is among them; it would count in batch statistics.
CASES = {
    "plain": (False, 29, "ours"),
    "synchronized": (True, 30, "ours"),
    "skipping": (True, 30, "ours"),  # a point of one worker is infinite, in one step
    "everything": (True, 30, "ours"),  # that a model, its drawings and its weights can have
    "naive": (False, 29, "keras"),
}
EVERYTHING: dict[str, Any] = {
    "features": ("position", "direction", "strokes"),
    "pooling": ("mean", "attention"),
    "bitmap": {"size": 16, "filters": (4, 4)},
    "augmentation": {"rotation": 20.0, "mirror": 0.5, "drop_strokes": 0.2, "jitter": 0.02},
}


def batches(rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Drawings float32 [rows, points, 3] and classes int64 [rows] of each step."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.normal(size=(rows, POINTS, 3)).astype(np.float32),
            rng.integers(0, len(CLASSES), rows),
        )
        for _ in range(STEPS)
    ]


def run(rank: int, workers: int, strategy: Any, case: str) -> dict[str, Any]:
    """Train a tiny classifier on this worker's rows of the batches."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    from rnnray.sketch.sketch_config import SketchConfig, SketchModelConfig  # noqa: PLC0415
    from rnnray.sketch.sketch_task import SketchTask  # noqa: PLC0415
    from rnnray.training.averaging import WeightAverage  # noqa: PLC0415
    from rnnray.training.step import build_optimizer, make_train_step  # noqa: PLC0415
    from rnnray.training.training_options import OptimizerConfig  # noqa: PLC0415

    normalized, global_batch, who_clips = CASES[case]
    config = SketchConfig(
        model=SketchModelConfig(
            max_points=POINTS,
            filters=(8, 8, 8),
            units=8,
            layers=1,
            batch_normalization=normalized,
            synchronized=True,
            mask_padding=True,
            **EVERYTHING if case == "everything" else {},
        ),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=0.01,
            weight_decay=0.01,
            clip="global",
            clip_norm=CLIP_NORM,
            skip_nonfinite=case == "skipping",
            average_momentum=0.9 if case == "everything" else 0.0,
        ),
    )
    task = SketchTask(config, tuple(CLASSES))
    with strategy.scope():
        keras.utils.set_random_seed(3)
        model = task.build_model(unroll=True)
        optimizer = build_optimizer(config, STEPS)
        optimizer.build(model.trainable_variables)
        average = WeightAverage(strategy, model, optimizer, config.optimizer.average_momentum)

    def naive_step(ink: Any, classes: Any, weights: Any) -> None:
        with tf.GradientTape() as tape:
            losses = task.row_losses(classes, model(ink, training=True)) * weights
            loss = tf.reduce_sum(losses) / global_batch
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    if who_clips == "ours":
        ours = make_train_step(
            *(strategy, model, optimizer, task, config.optimizer, 0),
            xla=False,
            after=average.update,
        )
    else:
        # The obvious way: the optimizer clips each worker's own gradient, and then they are summed.
        optimizer.global_clipnorm = CLIP_NORM
        naive = tf.function(lambda *rows: strategy.run(naive_step, args=rows))

    norms = []
    most = -(-global_batch // workers)
    for number, (ink, classes) in enumerate(batches(global_batch)):
        if (case, number) == ("skipping", 7):
            ink[0, 5] = np.inf
        ink[..., 2] = np.where(case == "everything", ink[..., 2] > 1, ink[..., 2])
        if workers == 1 and not normalized:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(task.row_losses(classes, model(ink)))
            gradients = tape.gradient(loss, model.trainable_variables)
            norms.append(float(tf.linalg.global_norm(gradients)))
        mine = np.arange(rank, global_batch, workers)
        weights = (np.arange(most) < len(mine)).astype(np.float32)
        rows = np.resize(mine, most)
        if who_clips == "ours":
            ours(ink[rows], classes[rows], weights, np.zeros(0, np.float32))
        else:
            naive(ink[rows], classes[rows], weights)

    average.exchange()
    moving = [v.numpy().ravel() for v in model.non_trainable_variables if "moving" in v.path]
    return {
        f"{case}.weights": np.concatenate([v.numpy().ravel() for v in model.trainable_variables]),
        f"{case}.moving": np.concatenate([*moving, np.zeros(0)]),
        f"{case}.norms": norms,
    }


def chorale_batches() -> list[list[np.ndarray]]:
    """Pieces int16 [chords, 4] of 1 to 12 chords, so that each row counts for another weight."""
    rng = np.random.default_rng(1)
    return [
        [
            rng.integers(55, 70, (rng.integers(1, CHORDS + 1), 4)).astype(np.int16)
            for _ in range(PIECES)
        ]
        for _ in range(STEPS)
    ]


def run_chorale(rank: int, workers: int, strategy: Any) -> dict[str, Any]:
    """Train a tiny composer on this worker's rows of the batches."""
    import keras  # noqa: PLC0415

    from rnnray.chorale.chorale_config import ChoraleConfig, ChoraleModelConfig  # noqa: PLC0415
    from rnnray.chorale.chorale_task import ChoraleTask, whole_pieces  # noqa: PLC0415
    from rnnray.training.batches import Share, padded_batch  # noqa: PLC0415
    from rnnray.training.step import build_optimizer, make_train_step  # noqa: PLC0415
    from rnnray.training.training_options import OptimizerConfig  # noqa: PLC0415

    config = ChoraleConfig(
        model=ChoraleModelConfig(
            embedding=8, lstm_units=8, lstm_layers=1, head_units=8, reach=16, dropout=0
        ),
        optimizer=OptimizerConfig(name="sgd", learning_rate=0.5, clip="none"),
    )
    task = ChoraleTask(config)
    with strategy.scope():
        keras.utils.set_random_seed(3)
        model = task.build_model(unroll=False)
        optimizer = build_optimizer(config, STEPS)
        optimizer.build(model.trainable_variables)
    step = make_train_step(strategy, model, optimizer, task, config.optimizer, 0, xla=False)
    losses, counts = [], []
    longest = np.zeros((CHORDS, 4), np.int16)  # gives all batches one shape; not trained on
    for pieces in chorale_batches():
        rows = whole_pieces([*pieces, longest]).slice(0, len(pieces))
        mine = rows.take(np.arange(rank, len(pieces), workers))
        batch = padded_batch(task, Share(mine, len(mine)), -(-len(pieces) // workers))
        sums = step(batch.inputs, batch.targets, batch.weights, np.zeros(0, np.float32)).numpy()
        losses.append(sums[1] / sums[0])
        counts.append(sums[0])
    return {
        "chorale.weights": np.concatenate([v.numpy().ravel() for v in model.trainable_variables]),
        "chorale.losses": losses,
        "chorale.notes": counts,
    }


def main() -> None:
    """See the module."""
    rank, ports, output = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]
    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
            "task": {"type": "worker", "index": rank},
        }
    )
    from rnnray.training import strategy  # noqa: PLC0415

    strategy.configure_devices(1)
    mirrored = strategy.create_strategy(len(ports))
    results: dict[str, np.ndarray] = {}
    for case in CASES:
        results |= run(rank, len(ports), mirrored, case)
    results |= run_chorale(rank, len(ports), mirrored)
    np.savez(output, **results)
    sys.stdout.flush()
    os._exit(0)  # without MWMS's shutdown barrier, which can wait for a peer that has left


if __name__ == "__main__":
    main()
