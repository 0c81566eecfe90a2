"""What a composer trains on: windows of chorales."""

import pyarrow as pa

from rnnray.chorale import table
from rnnray.chorale.config import ChoraleConfig
from rnnray.chorale.task import training_rows, whole_pieces
from rnnray.errors import UserError
from rnnray.training.data import Blocks, TrainingData, mixed


def training_data(config: ChoraleConfig, corpus: pa.Table) -> TrainingData:
    """The windows of a corpus's train split, mixed, and the whole pieces of its valid split.

    Raises:
        UserError: a split is missing, or the windows are longer than every piece.
    """
    training = training_rows(config, table.chords_of(table.select(corpus, "train")))
    valid = whole_pieces(table.chords_of(table.select(corpus, "valid")))
    if not len(training):
        raise UserError(
            f"no piece of {config.data} fills a window of {config.window_chords} chords; use "
            "a smaller --window-chords, or --no-drop-remainder"
        )
    blocks = Blocks.of([training])
    if config.shuffle_rows:
        blocks = mixed(blocks, config.seed)
    return TrainingData(blocks, Blocks.of([valid]))
