"""A trained composer, loaded from a checkpoint and ready to judge chorales and compose them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rnnray.chorale.chorale_config import ChoraleConfig
from rnnray.chorale.chorale_task import right_notes
from rnnray.chorale.tokens import NONE
from rnnray.packaged import COMPOSER
from rnnray.training import checkpoints, strategy, task_files

if TYPE_CHECKING:
    from rnnray.chorale.sampler import Sampler


def read_checkpoint(uri: str) -> ChoraleConfig:
    """Return the configuration of a composer's checkpoint.

    Raises:
        UserError: the folder is not a checkpoint of the composer.
    """
    return task_files.read_config(uri, ChoraleConfig, "the composer", "train_chorale")


class TrainedComposer:
    """The composer of a checkpoint; without one, the composer that comes with the package.

    Args:
        checkpoint: path or URI of the checkpoint's folder.
        threads: see `rnnray.training.strategy.configure_devices`.
        needs_gpu: see `rnnray.training.strategy.configure_devices`.

    Raises:
        UserError: the folder is not a checkpoint of the composer, or there is no GPU.
    """

    def __init__(
        self, checkpoint: str = COMPOSER, *, threads: int = 0, needs_gpu: bool = False
    ) -> None:
        self.config = read_checkpoint(checkpoint)
        strategy.configure_devices(threads, needs_gpu=needs_gpu)
        import tensorflow as tf  # noqa: PLC0415

        from rnnray.chorale.model import architectures  # noqa: F401, PLC0415  (registers our layers)

        self.model = checkpoints.fetch_model(checkpoint)
        self._logits = tf.function(
            lambda tokens: self.model(tokens, training=False), autograph=False
        )

    def judge(
        self, tokens: npt.NDArray[np.integer], *, whole: bool = True
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return each note's cost, given all notes before it, and whether it is the most probable.

        Args:
            tokens: int [rows, 4n], -1 for padding at the end; each new shape is compiled.
            whole: whether the rows are whole pieces; otherwise they are parts of pieces, of which
                the composer knows neither beginning nor end.

        Returns:
            nats float32 [rows, 4n] and right bool [rows, 4n]; 0 and false at the padding.
        """
        tokens = tokens.astype(np.int32)
        inputs = tokens
        if not whole and self.config.model.edges:
            inputs = np.concatenate(
                [tokens, np.tile([0, NONE], (len(tokens), 1))], 1, dtype=np.int32
            )
        logits = self._logits(inputs).numpy()
        shifted = logits - logits.max(-1, keepdims=True)
        chosen = np.take_along_axis(shifted, np.maximum(tokens, 0)[..., None], axis=-1)[..., 0]
        nats = np.log(np.exp(shifted).sum(-1)) - chosen
        right = np.asarray(right_notes(tokens, logits)).astype(bool)
        return np.where(tokens != NONE, nats, 0).astype(np.float32), right

    def sampler(self, **options: Any) -> "Sampler":
        """Return a sampler of this composer; see `Sampler` for its options."""
        from rnnray.chorale.sampler import Sampler  # noqa: PLC0415  (imports TensorFlow)

        return Sampler(self.model, **options)
