"""What a run tells people while it works: lines, and TensorBoard event files."""

import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tensorboardX import SummaryWriter

from rnnray import storage
from rnnray.errors import UserError
from rnnray.events import Event
from rnnray.progress import say
from rnnray.training.faults.divergence import Diverged
from rnnray.training.task import Task

_LONG_START = 60.0  # seconds


class RunReport:
    """Prints the progress events of a run and writes TensorBoard event files into its folder.

    Used as a context around the run.

    Args:
        folder: of the run, absolute path or URI.
        task: what is trained.
        check: raises `UserError` once another run has this one's lock: then nothing is written.
    """

    def __init__(self, folder: str, task: Task, check: Callable[[], None] | None = None) -> None:
        self._check = check
        self.user_errors: list[UserError] = []
        self.last_words = ""
        """What to tell the user if the run fails: why it did."""
        self._task = task
        self._folder = storage.join(folder, "tensorboard")
        self._temporary = tempfile.TemporaryDirectory()
        self._started = time.monotonic()
        self._heard_of_workers = False
        self._stuck = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._publish()
        self._temporary.cleanup()

    def handle(self, event: Event) -> None:
        """Take an event of the run; of kinds that are not for people nothing is said."""
        kind = event["kind"]
        if kind not in ("storage", "silence"):
            self._heard_of_workers = True
        take = getattr(self, f"_take_{kind}", None)
        if take is not None:
            take(event)

    def _take_silence(self, _: Event) -> None:
        if not self._heard_of_workers:
            waited = time.monotonic() - self._started
            busy = ", or waits for other jobs to end: `ray status`" if waited > _LONG_START else ""
            say(f"starting workers ({waited:.0f} s; each imports TensorFlow first{busy})")

    def _take_user_error(self, event: Event) -> None:
        self.user_errors.append(UserError(event["message"]))

    def _take_diverged(self, event: Event) -> None:
        self.user_errors.append(Diverged(event["message"], event["epoch"]))

    def _take_refused(self, event: Event) -> None:
        self.last_words = event["message"]

    def _take_no_gpu(self, event: Event) -> None:
        say(
            f"worker {event['rank']} on {event['node']} trains on a CPU: it has a GPU, and "
            "TensorFlow sees none (rnnray[gpu], the NVIDIA driver?); --gpu makes this an error"
        )

    def _take_failure(self, event: Event) -> None:
        for rank, message in event["failures"].items():
            say(f"worker {rank} failed: {_reason(message)}")

    def _take_stuck(self, event: Event) -> None:
        if not self._stuck:
            say(f"stuck: {event['verdict']}")
        self._stuck = True
        say(f"stacks of worker {event['rank']} on {event['node']}:")
        for line in event["stacks"]:
            say(f"    {line}")

    def _take_again(self, _: Event) -> None:
        self._started, self._heard_of_workers = time.monotonic(), False
        self._stuck = False
        say("starting the workers again, from the last checkpoint")

    def _take_fell_back(self, event: Event) -> None:
        say(
            f"checkpoint {event['checkpoint']} cannot be used: {event['reason']}; "
            f"going on from {event['to']}"
        )

    def _take_leaving(self, event: Event) -> None:
        say(f"worker {event['rank']} was told to leave: checkpoint at step {event['step']}")

    def _take_straggler(self, event: Event) -> None:
        waiting = event["waiting_share"] > 0.5
        say(
            f"worker {event['rank']} on {event['node']} takes {event['times']:.0f} times as long "
            f"as the others for its part of a step ({event['seconds']:.3f} s, they "
            f"{event['others_seconds']:.3f} s), "
            f"{'mostly waiting for its data' if waiting else 'computing: is its node busy?'}"
        )

    def _take_storage(self, event: Event) -> None:
        say(event["message"])
        if event.get("gave_up"):
            self.last_words = f"{event['message']}; mend it, then run the same again"

    def _take_lost(self, event: Event) -> None:
        self.last_words = event["message"]

    def _take_resumed(self, event: Event) -> None:
        if event["epoch"] > event["epochs"]:
            say("resumed: all epochs are done")
        else:
            place = f"epoch {event['epoch']} of {event['epochs']}"
            say(f"resumed at {place}, behind step {event['step']}")

    def _take_initial(self, event: Event) -> None:
        say(event["message"])

    def _take_step(self, event: Event) -> None:
        say(
            f"epoch {event['epoch']}/{event['epochs']}  "
            f"step {event['step']:,}/{event['steps']:,}  {self._line(event['metrics'])}"
        )

    def _take_epoch(self, event: Event) -> None:
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
        if metrics.get("skipped_steps"):
            say(f"    {metrics['skipped_steps']:,.0f} step(s) skipped: not finite")
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
        # A file an epoch, written elsewhere and then put in place: storage that refuses would end
        # the writer's thread, and then block us. An epoch done again replaces what was written.
        with SummaryWriter(
            self._temporary.name, purge_step=epoch, filename_suffix=f".epoch-{epoch:04d}"
        ) as writer:
            for name, value in metrics.items():
                validation = name.startswith("validation_")
                rest = name.removeprefix("validation_")
                writer.add_scalar(f"{'validation' if validation else 'train'}/{rest}", value, epoch)
        self._publish()

    def _publish(self) -> None:
        """Move the event files to the run's folder; those that it refuses, the next time."""
        for file in sorted(Path(self._temporary.name).iterdir()):
            try:
                if self._check:
                    self._check()
                storage.put_file(file, storage.join(self._folder, file.name))
            except UserError as error:
                say(f"TensorBoard must wait: {error}")
                return
            file.unlink()


def _reason(message: str) -> str:
    """The line of an error's text that names the error: TensorFlow and Ray write many more."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return (named or lines or ["it died"])[-1]
