"""Losses and gradients that are not finite: training stops there, or skips such steps."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError
from rnnray.training.training_options import OptimizerConfig

_ADVICE = (
    "try a lower optimizer.learning_rate, optimizer.clip global or optimizer.skip_nonfinite, "
    "under another name"
)
_FRESH = (
    "the weights are still fresh, so look at the task first: `row_losses` gave this, perhaps from "
    "inputs or targets of `batch` that are not finite"
)


class Diverged(UserError):  # noqa: N818  (named for what happened, as `Leaving`)
    """A loss, a gradient or a weight is not finite.

    Args:
        message: one line.
        epoch: number of epochs that were done, with a fraction for the last one.
    """

    def __init__(self, message: str, epoch: float = 0.0) -> None:
        super().__init__(message)
        self.epoch = epoch


class Divergence:
    """A search for numbers that are not finite among those that all workers share.

    All workers find the same at the same step, so that none waits for another one.

    Args:
        optimizer: its learning rate is in messages.
        options: say whether such steps are skipped.
        steps_per_epoch: number of steps of an epoch.
    """

    def __init__(self, optimizer: Any, options: OptimizerConfig, steps_per_epoch: int) -> None:
        self._optimizer, self._skips = optimizer, options.skip_nonfinite
        self._steps_per_epoch = steps_per_epoch
        self._largest = (0.0, "")
        self._found: tuple[int, str] | None = None
        self.skipped = 0
        """Steps of this epoch that were skipped."""

    def take(self, sums: npt.NDArray[np.float64], norms: npt.NDArray[np.float64], end: int) -> None:
        """Take the sums and gradient norms of steps; set those of skipped steps to 0.

        Args:
            sums: float64 [steps, 2 + metrics]: weights, loss, metrics.
            norms: float64 [steps], of the gradients of the global batches.
            end: number of the last step.
        """
        good = np.isfinite(norms) & np.isfinite(sums[:, 1])
        steps = end - len(norms) + 1 + np.arange(len(norms))
        if good.any() and norms[good].max() > self._largest[0]:
            index = int(np.where(good, norms, -1).argmax())
            self._largest = float(norms[index]), f" at step {steps[index]}"
        if good.all():
            return
        if self._skips:
            self.skipped += int((~good).sum())
            sums[~good] = 0
        elif self._found is None:
            first = int(good.argmin())
            loss, norm = sums[first, 1] / max(sums[first, 0], 1), norms[first]
            self._found = int(steps[first]), f"loss {loss:.4g}, gradient norm {norm:.4g}"

    def check(self, epoch: int, step: int, *, ended: bool) -> None:
        """Raise `Diverged` if a step of this epoch was not finite, or all steps were skipped.

        Args:
            epoch: number of epochs that are done.
            step: number of steps of the next epoch that are done.
            ended: these are all steps of the epoch.
        """
        if self._found:
            self._raise(epoch, self._found[0], f"not finite ({self._found[1]})")
        if ended and self.skipped and self.skipped == step:
            self._raise(epoch, step, "not finite in any step, all were skipped")

    def check_weights(self, epoch: int, step: int, variables: list[Any]) -> None:
        """Raise `Diverged` if the variables of a model or an optimizer are not finite.

        Args:
            epoch: see `check`.
            step: see `check`.
            variables: the variables.
        """
        name = not_finite(variables)
        if name is not None:
            self._raise(epoch, step, f"not finite ({name}), which no checkpoint may be")

    def check_validation(self, epoch: int, step: int, loss: float) -> None:
        """Raise `Diverged` if the loss on the validation data is not finite.

        Args:
            epoch: see `check`.
            step: see `check`.
            loss: mean loss on the validation data.
        """
        if not math.isfinite(loss):
            self._raise(epoch, step, f"not finite in the validation (loss {loss})")

    def metrics(self) -> dict[str, float]:
        """Return the number of skipped steps, where steps may be skipped."""
        return {"skipped_steps": self.skipped} if self._skips else {}

    def _raise(self, epoch: int, step: int, what: str) -> None:
        rate = float(np.asarray(self._optimizer.learning_rate))
        norm, where = self._largest
        advice = _FRESH if (epoch, step) == (0, 1) else _ADVICE
        raise Diverged(
            f"training diverged: epoch {epoch + 1}, step {step}: {what}; learning rate {rate:.4g}, "
            f"largest finite gradient norm {norm:.4g}{where}; {advice}",
            epoch + min(step / self._steps_per_epoch, 0.9999),
        )


def not_finite(variables: list[Any]) -> str | None:
    """Return the path of the first variable with a value that is not finite; None without one."""
    for variable in variables:
        if not np.isfinite(np.asarray(variable).astype(np.float64)).all():
            return str(variable.path)
    return None
