"""What a run tells people while it works: lines, and TensorBoard event files."""

import re
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tensorboardX import SummaryWriter

from rnnray import storage
from rnnray.progress import Event, say
from rnnray.training.task import Task


class RunReport:
    """Prints the progress events of a run and writes TensorBoard event files into its folder.

    Used as a context around the run.
    """

    def __init__(self, folder: str, task: Task) -> None:
        self.user_errors: list[str] = []
        self._task = task
        self._folder = storage.join(folder, "tensorboard")
        self._local = "://" not in folder
        self._temporary = tempfile.TemporaryDirectory()
        self._events = Path(self._folder if self._local else self._temporary.name)
        self._writer: SummaryWriter | None = None
        self._started = time.monotonic()
        self._heard_of_workers = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            if not self._local:
                storage.copy_folder(self._events, self._folder)
        self._temporary.cleanup()

    def handle(self, event: Event) -> None:
        """Take an event of the run."""
        kind = event["kind"]
        if kind == "silence":
            if not self._heard_of_workers:
                waited = time.monotonic() - self._started
                say(f"starting workers ({waited:.0f} s; each imports TensorFlow first)")
            return
        self._heard_of_workers = kind != "failure"
        if kind == "user_error":
            self.user_errors.append(event["message"])
        elif kind == "failure":
            self._started = time.monotonic()
            for rank, message in event["failures"].items():
                say(f"worker {rank} failed: {_reason(message)}")
            say("starting the workers again, from the last checkpoint")
        elif kind == "resumed":
            place = f"epoch {event['epoch']} of {event['epochs']}"
            if event["epoch"] > event["epochs"]:
                say("resumed: all epochs are done")
            else:
                say(f"resumed at {place}, behind step {event['step']}")
        elif kind == "step":
            say(
                f"epoch {event['epoch']}/{event['epochs']}  "
                f"step {event['step']:,}/{event['steps']:,}  {self._line(event['metrics'])}"
            )
        elif kind == "epoch":
            metrics = event["metrics"]
            validation = {
                name.removeprefix("validation_"): value
                for name, value in metrics.items()
                if name.startswith("validation_")
            }
            say(f"epoch {event['epoch']}/{event['epochs']} done  {self._line(metrics)}")
            say(
                f"    validation of {validation['count']:,.0f} {self._task.unit}: "
                f"{self._scores(validation)}"
            )
            self._write(event["epoch"], metrics)

    def _line(self, metrics: dict[str, float]) -> str:
        return (
            f"{self._scores(metrics)}  {metrics['per_second']:,.0f} {self._task.unit}/s  "
            f"waiting for data {metrics['waiting_share']:.1%}"
        )

    def _scores(self, metrics: dict[str, float]) -> str:
        names = "  ".join(f"{name} {metrics[name]:.1%}" for name in self._task.metric_names)
        return f"loss {metrics['loss']:.4f}  {names}"

    def _write(self, epoch: int, metrics: dict[str, Any]) -> None:
        if self._writer is None:
            # An epoch that is done again after a crash replaces what was written of it.
            self._writer = SummaryWriter(str(self._events), purge_step=epoch)
        for name, value in metrics.items():
            group, _, rest = name.partition("_") if name.startswith("validation_") else ("", "", "")
            self._writer.add_scalar(f"{group or 'train'}/{rest or name}", value, epoch)
        self._writer.flush()


def _reason(message: str) -> str:
    """The line of an error's text that names the error: TensorFlow and Ray write many more."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return (named or lines or ["it died"])[-1]
