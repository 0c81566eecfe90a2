"""The record of what a seed trains: weights and losses of every preset after a few steps."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from composers import SMALL, chorales
from lazily import tf
from recorded import same_values
from video_files import noise

from rnnray.chorale import chorale_config as chorale
from rnnray.chorale.chorale_task import ChoraleTask, training_rows
from rnnray.forecast import forecast_config as forecast
from rnnray.forecast.data import series_table, windows
from rnnray.forecast.forecast_task import ForecastTask
from rnnray.sketch import sketch_config as sketch
from rnnray.sketch.data import demo_drawings, sketch_table
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.rows import Blocks
from rnnray.training.task import Task
from rnnray.training.training_options import TrainingConfig
from rnnray.training.worker import Worker
from rnnray.video import video_config as video
from rnnray.video.video_task import VideoTask


def small(preset: TrainingConfig, model: dict[str, Any], **values: Any) -> Any:
    """A preset with a smaller model and smaller batches, as deep and as trained as it is."""
    values |= {"epochs": 1, "model": preset.model_dump()["model"] | model}
    return type(preset).model_validate(preset.model_dump() | values)


def trained(
    task: Task, config: TrainingConfig, training: pa.Table, validation: pa.Table, folder: Path
) -> dict[str, Any]:
    """What the loop makes on one worker: its weights, metrics and checkpoints."""
    from rnnray.training.loop import TrainingLoop  # noqa: PLC0415  (TensorFlow, at its first use)
    from rnnray.training.strategy import create_strategy  # noqa: PLC0415

    names: list[str] = []

    def report(metrics: dict[str, float], source: Path | None, name: str | None) -> None:
        assert source is not None
        assert name is not None
        names.append(name)
        shutil.copytree(source, folder / name)

    parts = (training.slice(start, 10) for start in range(0, len(training), 10))
    worker = Worker(0, 1, Blocks.of(parts), Blocks.of([validation]), lambda event: None, report)
    loop = TrainingLoop(task, config, worker, create_strategy(1), unroll=False)
    before = summary(loop.model)
    history = loop.run()
    metrics = ("loss", "validation_loss", *task.metric_names, "steps", "learning_rate")
    return {
        "epochs": [{name: float(epoch[name]) for name in metrics} for epoch in history],
        "metrics": sorted(history[-1]),
        "checkpoints": {
            name: sorted(file.name for file in (folder / name).iterdir()) for name in names
        },
        "weights before": before,
        "weights after": summary(loop.model),
    }


def summary(model: Any) -> dict[str, list[float]]:
    """Norm and a projection of every variable: what changes with any of its numbers."""
    rows = {}
    for number, weight in enumerate(model.weights):
        if weight.dtype.startswith("float"):
            flat = np.asarray(weight, np.float64).reshape(-1)
            signs = np.random.default_rng(0).choice([-1, 1], flat.size)
            about = f"{number} {weight.name} {'x'.join(map(str, weight.shape))}"
            rows[about] = [float(np.linalg.norm(flat)), float(flat @ signs)]
    return rows


@contextmanager
def compiled(where: bool) -> Iterator[None]:
    """Compile the training steps, or run them as they stand where that is faster.

    One preset of a task is compiled: what differs is rounding, and what happens while tracing.
    """
    tf.config.run_functions_eagerly(not where)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def test_the_weights_of_the_sketch_classifier(tmp_path: Path) -> None:
    rows = sketch_table.from_arrays(*demo_drawings.inks(60, seed=1), demo_drawings.CLASS_NAMES)
    about = {"points": sketch_table.lengths_of(rows).tolist()}
    for name, preset in sketch.PRESETS.items():
        bitmap = preset().model.bitmap.model_copy(update={"filters": (4, 4)})
        model = {"filters": (6, 7, 8), "units": 8, "bitmap": bitmap.model_dump()}
        model["max_points"] = 40  # some drawings are longer
        config = small(preset(), model, global_batch_size=16)
        task = SketchTask(config, tuple(demo_drawings.CLASS_NAMES))
        with compiled(name == "strong"):
            about[name] = trained(task, config, rows.slice(0, 50), rows.slice(50), tmp_path / name)
    same_values("weights_sketch.json", about)


def test_the_weights_of_the_composer(tmp_path: Path) -> None:
    about = {}
    for name, preset in chorale.PRESETS.items():
        config = small(
            preset(), SMALL[name], global_batch_size=4, window_chords=32, window_shift=16
        )
        if config.transpose:
            config = config.model_copy(update={"transpose": 2})
        rows = training_rows(config, chorales(70, 58))
        validation = training_rows(config, chorales(33, seed=1))
        with compiled(name == "notebook"):
            about[name] = {"rows": len(rows)} | trained(
                ChoraleTask(config), config, rows, validation, tmp_path / name
            )
    same_values("weights_chorale.json", about)


@pytest.mark.usefixtures("not_compiled")
def test_the_weights_of_the_forecaster(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 10, 80)
    series = series_table.from_series([("a", 0, values)])
    about = {}
    for name, preset in forecast.PRESETS.items():
        config = small(preset(), {"window_days": 14, "units": 4}, global_batch_size=16)
        rows = pa.concat_tables(windows.tables(series, config.model, range(80)))
        about[name] = trained(
            ForecastTask(config), config, rows.slice(0, 25), rows.slice(50), tmp_path / name
        )
    same_values("weights_forecast.json", about)


@pytest.mark.usefixtures("not_compiled")
def test_the_weights_of_the_video_classifier(tmp_path: Path) -> None:
    sizes = {"filters": (4, 5), "frame_units": 6, "sound_filters": (4, 5), "units": 7}
    about = {}
    for name, preset in video.PRESETS.items():
        config = small(preset(), sizes, global_batch_size=8, max_frames=3, sound_rate=1000)
        task = VideoTask(config, ("cat", "dog"))
        rows = noise(task, *[1, 2, 3] * 6)
        about[name] = trained(task, config, rows.slice(0, 13), rows.slice(13), tmp_path / name)
        # Batch normalisation comes after this bias, so that rounding alone moves it.
        about[name]["weights after"].pop("5 bias 6", None)
    same_values("weights_video.json", about)
