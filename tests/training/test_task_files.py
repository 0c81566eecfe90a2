"""What a user is told who names another folder than a checkpoint of the model."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from observed import refused

from rnnray.chorale import chorale_config, composer
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.forecast import forecast_config, forecaster
from rnnray.forecast.forecast_task import ForecastTask
from rnnray.sketch import classifier, sketch_config
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.task import Task
from rnnray.video import video_classifier, video_config
from rnnray.video.video_task import VideoTask

NAMES = ("cat", "Ölbaum")
TASKS: dict[str, tuple[Callable[[Any], Task], Mapping[str, Callable[[], Any]]]] = {
    "sketch": (partial(SketchTask, class_names=NAMES), sketch_config.PRESETS),
    "video": (partial(VideoTask, class_names=NAMES), video_config.PRESETS),
    "forecast": (ForecastTask, forecast_config.PRESETS),
    "chorale": (ChoraleTask, chorale_config.PRESETS),
}
READERS: dict[str, Callable[[str], Any]] = {
    "sketch": classifier.read_checkpoint,
    "video": video_classifier.read_checkpoint,
    "forecast": forecaster.read_checkpoint,
    "chorale": composer.read_checkpoint,
}


def written(folder: Path, task: Task) -> str:
    """A checkpoint's files, without the model itself."""
    folder.mkdir()
    for file, text in {**task.checkpoint_files(), "position.json": "{}"}.items():
        (folder / file).write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("name", TASKS)
def test_every_preset_and_class_names_are_read_as_they_were_written(
    tmp_path: Path, name: str
) -> None:
    task_of, presets = TASKS[name]
    for preset, make in presets.items():
        found = READERS[name](written(tmp_path / preset, task_of(make())))
        assert found == ((make(), NAMES) if name in ("sketch", "video") else make())


@pytest.mark.parametrize("name", TASKS)
def test_another_folder_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    folders = {
        each: written(tmp_path / each, task_of(presets["strong"]()))
        for each, (task_of, presets) in TASKS.items()
    }

    def told(folder: str, words: str) -> None:
        assert re.match(f"{folder}.*{words}", refused(READERS[name], folder))

    for other in TASKS.keys() - {name}:
        told(folders[other], f"of another model, not of .*; use .*jobs/train_{name}")
    config = tmp_path / name / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("epochs: ", "epochs: -").replace("seed: ", "seed: -"))
    told(folders[name], r"config\.yaml: epochs: .*; seed: ")  # all that is wrong
    config.write_text(f"{text}more: 1\n")
    told(folders[name], r"config\.yaml: more: Extra inputs")
    config.write_text(text)
    for file in ("position.json", "config.yaml"):  # the folder of a whole run has no position
        (tmp_path / name / file).unlink()
        told(folders[name], f"it has no {file}; checkpoints are the folders")
