"""What a sketch classifier trains on, as Ray Data."""

from rnnray.sketch.drawings import Drawings
from rnnray.training.data import TrainingData


def training_data(drawings: Drawings) -> TrainingData:
    """The train and the validation split of a source, and a count of the first.

    Raises:
        UserError: a split is missing, or the drawings cannot be read.
    """
    training, validation = drawings.dataset("train"), drawings.dataset("validation")
    return TrainingData(training, validation, drawings.count("train"))
