"""Every kind of process that imports TensorFlow, on a node with two GPUs that are not there.

Usage: pretended_gpus.py FOLDER; run by test_gpus.py in a process of its own, whose processes each
note in FOLDER/recorded what they are, and which GPUs they see, before they use TensorFlow. The
last line of the output is JSON: those notes for each job.
"""

import json
import os
import sys
from pathlib import Path

import ray
import toy_sweep
from composers import save_checkpoint, save_corpus
from tiny import TINY

from rnnray import ray_private
from rnnray.artifacts import open_store
from rnnray.chorale.generation.generation_options import GenerationConfig
from rnnray.chorale.generation.pipeline import batches
from rnnray.chorale.generation.plan import make_plan
from rnnray.sketch import sketch_training
from rnnray.sketch.data.datasets import open_drawings
from rnnray.sketch.data.prepare import prepare
from rnnray.sketch.sketch_config import SketchConfig
from rnnray.training.training_options import RunOptions


def start() -> None:
    """A Ray whose processes have imported nothing yet."""
    with ray_private.on_loopback():
        ray.init(
            "local",
            num_cpus=4,
            num_gpus=2,
            include_dashboard=False,
            log_to_driver=False,
        )


def main(folder: Path) -> None:
    """See the module."""
    start()
    recorded = folder / "recorded"
    seen: dict[str, list[tuple[str, ...]]] = {}

    def note(job: str) -> None:
        # Of each process the last note of each kind that it was; a worker of Ray Train imports
        # TensorFlow before it is ours.
        notes = {}
        for line in recorded.read_text().splitlines():
            pid, kind, visible = line.split("\t")
            notes[pid, kind.split("->")[0]] = visible  # Ray Data may join a reader and what follows
        seen[job] = sorted(
            {
                (kind, visible)
                for (pid, kind), visible in notes.items()
                if pid != str(os.getpid())  # the driver, for which Ray reserves nothing
            }
        )
        recorded.write_text("")

    recorded.write_text("")
    shards = str(folder / "shards")
    prepare(open_drawings("demo:60"), shards, file_format="tfrecords")
    note("prepare")
    ray.shutdown()  # a writer's process may read later, and would import nothing then
    start()
    tiny = SketchConfig.model_validate(TINY | {"global_batch_size": 8})
    for name, options in {"gpu": {}, "no_gpu": {"no_gpu": True}}.items():
        sketch_training.train(
            tiny,
            open_drawings(shards),
            RunOptions(storage_path=str(folder / "runs"), name=name, workers=2, **options),
        )
        note(name)
    toy_sweep.run(folder / "sweep", [0.1, 0.01], max_concurrent=2)
    note("sweep")
    config = GenerationConfig(
        checkpoint=save_checkpoint(folder / "composer", "strong"),
        temperatures=(1.0,),
        count=2,
        chords=4,
        data=save_corpus(folder / "corpus.parquet", (20, 20)),
        formats=("mid",),
    )
    plan = make_plan("run", config)
    for _ in batches(plan, [0], open_store(str(folder / "run")), resumes=False, samplers=None):
        pass
    note("generate")
    sys.stdout.write("\n" + json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
