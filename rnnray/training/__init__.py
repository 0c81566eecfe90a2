"""Training of all models, one's own too: the strategy, the loop, checkpoints, the Ray Train driver.

The names below are for networks of one's own (OWN_NETWORK.md). Each is imported when it is first
used: Ray takes seconds.
"""

from typing import TYPE_CHECKING, Any

from rnnray.lazy_names import look_up

if TYPE_CHECKING:
    from rnnray.cluster import connect as connect
    from rnnray.training.checkpoints import load_model as load_model
    from rnnray.training.driver import TrainedRun as TrainedRun
    from rnnray.training.driver import train as train
    from rnnray.training.rows import Blocks as Blocks
    from rnnray.training.rows import TrainingData as TrainingData
    from rnnray.training.rows import mixed as mixed
    from rnnray.training.rows import read as read
    from rnnray.training.run_report import draw_curves as draw_curves
    from rnnray.training.task import Task as Task
    from rnnray.training.training_options import Config as Config
    from rnnray.training.training_options import OptimizerConfig as OptimizerConfig
    from rnnray.training.training_options import RunName as RunName
    from rnnray.training.training_options import RunOptions as RunOptions
    from rnnray.training.training_options import TrainingConfig as TrainingConfig

_SOURCES = {
    "Blocks": "rows.Blocks",
    "Config": "training_options.Config",
    "OptimizerConfig": "training_options.OptimizerConfig",
    "RunName": "training_options.RunName",
    "RunOptions": "training_options.RunOptions",
    "Task": "task.Task",
    "TrainedRun": "driver.TrainedRun",
    "TrainingConfig": "training_options.TrainingConfig",
    "TrainingData": "rows.TrainingData",
    "connect": ".cluster.connect",
    "draw_curves": "run_report.draw_curves",
    "load_model": "checkpoints.load_model",
    "mixed": "rows.mixed",
    "read": "rows.read",
    "train": "driver.train",
}
__all__ = list(_SOURCES)


def __getattr__(name: str) -> Any:
    return look_up(__name__, _SOURCES, name)
