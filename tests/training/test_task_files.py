"""What a user is told who names another folder than a checkpoint of the model."""

from pathlib import Path

import pytest

from rnnray.errors import UserError
from rnnray.forecast import forecast_config, forecaster
from rnnray.forecast.forecast_task import ForecastTask
from rnnray.sketch import classifier, sketch_config
from rnnray.sketch.sketch_task import SketchTask
from rnnray.video import video_classifier, video_config
from rnnray.video.video_task import VideoTask

NAMES = ("cat", "Ölbaum")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """The files of a checkpoint of each model, without the model itself."""
    tasks = {
        "sketch": SketchTask(sketch_config.strong(), NAMES),
        "video": VideoTask(video_config.strong(), NAMES),
        "forecast": ForecastTask(forecast_config.strong()),
    }
    for name, task in tasks.items():
        (tmp_path / name).mkdir()
        for file, text in {**task.checkpoint_files(), "position.json": "{}"}.items():
            (tmp_path / name / file).write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in tasks}


READERS = {
    "sketch": classifier.read_checkpoint,
    "video": video_classifier.read_checkpoint,
    "forecast": forecaster.read_checkpoint,
}


def test_configuration_and_class_names_are_read_as_they_were_written(
    folders: dict[str, Path],
) -> None:
    read = {name: READERS[name](str(folder)) for name, folder in folders.items()}
    assert read == {
        "sketch": (sketch_config.strong(), NAMES),
        "video": (video_config.strong(), NAMES),
        "forecast": forecast_config.strong(),
    }


@pytest.mark.parametrize("name", READERS)
def test_another_folder_is_told_in_one_line(folders: dict[str, Path], name: str) -> None:
    config = folders[name] / "config.yaml"
    for other in folders.keys() - {name}:
        with pytest.raises(
            UserError, match=f"of another model, not of .*; use .*jobs/train_{name}"
        ):
            READERS[name](str(folders[other]))
    text = config.read_text()
    config.write_text(text.replace("epochs: ", "epochs: -").replace("seed: ", "seed: -"))
    with pytest.raises(UserError, match=r"config\.yaml: epochs: .*; seed: "):  # all that is wrong
        READERS[name](str(folders[name]))
    config.write_text(text)
    (folders[name] / "position.json").unlink()  # as in the folder of a whole run
    with pytest.raises(UserError, match=r"it has no position\.json; checkpoints are the folders"):
        READERS[name](str(folders[name]))
