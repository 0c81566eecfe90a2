"""What a sketch classifier trains on: the drawings of a source, read once and mixed."""

from rnnray.sketch.drawings import Drawings
from rnnray.training.config import TrainingConfig
from rnnray.training.data import TrainingData, mixed, read


def training_data(drawings: Drawings, config: TrainingConfig) -> TrainingData:
    """Read the train and the validation split of a source.

    About 0.6 KB a drawing go into Ray's object store, and to disk where memory ends.

    Raises:
        UserError: a split is missing, or the drawings cannot be read.
    """
    validation = read(drawings.dataset("validation"), "validation drawings")
    training = read(drawings.dataset("train"), "training drawings")
    if config.shuffle_rows:
        training = mixed(training, config.seed, "training drawings")
    return TrainingData(training, validation)
