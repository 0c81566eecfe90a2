"""The record of the files that runs are found and continued by, and of the jobs' last lines."""

import json
from pathlib import Path
from typing import Any

import generated
import observed
import pytest
import yaml
from composers import save_checkpoint, save_corpus
from recorded import keys_of, same_text, same_values, sha256
from tiny import RunJob

from rnnray.artifacts import open_store
from rnnray.chorale import chorale_config as chorale
from rnnray.chorale.chorale_task import ChoraleTask
from rnnray.chorale.generation import folder, manifest
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.plan import make_plan
from rnnray.chorale.generation.run import Generated
from rnnray.forecast import forecast_config as forecast
from rnnray.forecast.forecast_task import ForecastTask
from rnnray.sketch import sketch_config as sketch
from rnnray.sketch.sketch_task import SketchTask
from rnnray.training.task import Task
from rnnray.tuning import results, space
from rnnray.tuning.trial_curve import TrialCurve
from rnnray.video import video_config as video
from rnnray.video.video_task import VideoTask


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "checkpoint"
    save_checkpoint(folder, "strong")
    save_corpus(folder.parent / "corpus.parquet", (20, 40, 33))
    return folder


def test_presets() -> None:
    for name, preset in sketch.PRESETS.items():
        same_text(f"presets/sketch-{name}.yaml", config_file(SketchTask(preset(), ("cat",))))
    for name, preset in chorale.PRESETS.items():
        same_text(f"presets/chorale-{name}.yaml", config_file(ChoraleTask(preset())))
    for name, preset in forecast.PRESETS.items():
        same_text(f"presets/forecast-{name}.yaml", config_file(ForecastTask(preset())))
    for name, preset in video.PRESETS.items():
        same_text(f"presets/video-{name}.yaml", config_file(VideoTask(preset(), ("fall",))))


def config_file(task: Task) -> str:
    """Of a run and of each of its checkpoints."""
    return task.checkpoint_files()["config.yaml"]


def test_generation(checkpoint: Path, tmp_path: Path) -> None:
    config = GenerationConfig(
        checkpoint=str(checkpoint), count=3, data=str(checkpoint.parent / "corpus.parquet")
    )
    plan = make_plan("run", config.model_copy(update={"chords": 16}))
    store = open_store(str(tmp_path / "run"))
    folder.save(store, plan, made_with={"rnnray": "0"})
    generated.run(plan, store)
    files = {}
    for key, content in sorted(observed.contents(tmp_path / "run").items()):
        # No digest of what has versions of libraries in it, the text of the page, rounded sounds.
        exact = key.endswith(".mid") or key.startswith(("page/bach", "page/temperature"))
        files[key] = sha256(content) if exact else ""
    same_values(
        "generation.json",
        {
            "run.yaml": keys_of(yaml.safe_load(store.get("run.yaml") or b"")),
            "manifest": {field.name: str(field.type) for field in manifest.SCHEMA},
            "summary.json": keys_of(json.loads(store.get("summary.json") or b"")),
            "position.json": keys_of(json.loads((checkpoint / "position.json").read_text())),
            "files": files,
            "last line": [*Generated("", "", 1, 1, {"pieces": 1.0}, 1.0).as_dict()],
        },
    )


@pytest.mark.usefixtures("not_compiled")
def test_last_lines(checkpoint: Path, tmp_path: Path, run_here: RunJob) -> None:
    data = ("--data", str(checkpoint.parent / "corpus.parquet"))
    of = ("--checkpoint", str(checkpoint))
    chords = ("--chords", "4", "--temperatures", "0.8")
    jobs = {
        "compose": (*of, *data, *chords, "--output", str(tmp_path / "composed")),
        "listen": (*data, "--name", "test:0", "--output", str(tmp_path / "heard")),
        "evaluate_chorale": (*of, *data),
        "generate_chorales": (*of, *data, *chords, "--dry-run", "--output", str(tmp_path / "runs")),
    }
    now = {}
    for name, arguments in jobs.items():
        ended = run_here(name, *arguments)
        assert ended.code == 0, ended.err
        now[name] = keys_of(ended.result)
    same_values("last_lines.json", now)


def test_the_last_line_of_a_sweep(tmp_path: Path) -> None:
    values: dict[str, Any] = {"model.units": 8}
    trials = [
        results.Trial(
            TrialCurve(f"trial-{number}", values, [0.5, 0.6], "finished", [1, 2]),
            [{"epoch": epoch, "validation_top1": 0.5} for epoch in (1, 2)],
            None,
        )
        for number in range(3)
    ]
    config = sketch.strong()
    searched = space.parse({"model.units": [8, 16]}, config, "here")
    score = ("validation_top1", "max")
    published = results.publish(trials, searched, config, score, str(tmp_path))
    same_values(
        "sweep.json",
        {
            "last line": keys_of(published),
            "files": sorted(
                str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
            ),
        },
    )
