"""The report of a run to people: lines, TensorBoard event files, and learning curves at its end."""

import math
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from rnnray import plot_style, storage
from rnnray.errors import UserError
from rnnray.events import Event
from rnnray.plot_style import BLUE, BODY, MUTED, VERMILION
from rnnray.progress import say
from rnnray.training.task import Task

if TYPE_CHECKING:
    from rnnray.training.driver import TrainedRun

_LONG_START = 60.0  # seconds


class RunReport:
    """Prints the progress events of a run and writes TensorBoard event files into its folder.

    Used as a context around the run.

    Args:
        folder: absolute path or URI of the run's folder.
        task: the problem that the run trains.
        check: raises `UserError` once another run has this one's lock: then nothing is written.
    """

    def __init__(self, folder: str, task: Task, check: Callable[[], None] | None = None) -> None:
        self._check = check
        self._task = task
        self._folder = storage.join(folder, "tensorboard")
        self._temporary = tempfile.TemporaryDirectory()
        self._started = time.monotonic()
        self._heard_of_workers = False
        self._told_stuck = ""

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
        """Take an event of the run; print nothing for kinds that are not for people."""
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

    def _take_no_gpu(self, event: Event) -> None:
        say(
            f"worker {event['rank']} on {event['node']} trains on a CPU: it has a GPU, and "
            "TensorFlow sees none (rnnray[gpu], the NVIDIA driver?); the option gpu makes this an "
            "error"
        )

    def _take_failure(self, event: Event) -> None:
        say(f"worker {event['rank']} failed: {_reason(event['reason'])}")

    def _take_controller_failed(self, event: Event) -> None:
        say(f"Ray Train's controller failed: {_reason(event['reason'])}")

    def _take_stuck(self, event: Event) -> None:
        if event["verdict"] != self._told_stuck:
            say(f"stuck: {event['verdict']}")
        self._told_stuck = event["verdict"]
        say(f"stacks of worker {event['rank']} on {event['node']}:")
        for line in event["stacks"]:
            say(f"    {line}")

    def _take_again(self, _: Event) -> None:
        self._started, self._heard_of_workers = time.monotonic(), False
        self._told_stuck = ""
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

    def _take_resumed(self, event: Event) -> None:
        if event["epoch"] > event["epochs"]:
            say("resumed: all epochs are done")
        else:
            epoch = f"epoch {event['epoch']} of {event['epochs']}"
            say(f"resumed in {epoch}, after step {event['step']}")

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
            f"{self._metrics_line(validation)}"
        )
        if metrics.get("skipped_steps"):
            say(f"    {metrics['skipped_steps']:,.0f} step(s) skipped: not finite")
        self._write(event["epoch"], metrics)

    def _line(self, metrics: dict[str, float]) -> str:
        return (
            f"{self._metrics_line(metrics)}  {metrics['per_second']:,.0f} {self._task.unit}/s  "
            f"waiting for data {metrics['waiting_share']:.1%}"
        )

    def _metrics_line(self, metrics: dict[str, float]) -> str:
        names = ("loss", *self._task.metric_names)
        return "  ".join(f"{name} {self._number(name, metrics[name])}" for name in names)

    def _number(self, name: str, value: float) -> str:
        return f"{value:.1%}" if name in self._task.shares else f"{value:.4f}"

    def _write(self, epoch: int, metrics: dict[str, Any]) -> None:
        # One file for each epoch, written elsewhere and then copied: storage that refuses would end
        # the writer's thread, and then block us. An epoch that is done again replaces its file.
        with SummaryWriter(
            self._temporary.name, purge_step=epoch, filename_suffix=f".epoch-{epoch:04d}"
        ) as writer:
            for name, value in metrics.items():
                validation = name.startswith("validation_")
                rest = name.removeprefix("validation_")
                writer.add_scalar(f"{'validation' if validation else 'train'}/{rest}", value, epoch)
        self._publish()

    def _publish(self) -> None:
        """Move the event files to the run's folder; refused ones stay for the next call."""
        for file in sorted(Path(self._temporary.name).iterdir()):
            try:
                if self._check:
                    self._check()
                storage.put_file(file, storage.join(self._folder, file.name))
            except UserError as error:
                say(f"TensorBoard files are not written yet: {error}")
                return
            file.unlink()


def _reason(message: str) -> str:
    """Return the line of an error's text that names it: TensorFlow and Ray write many more."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return (named or lines or ["it died"])[-1]


def draw_curves(run: "TrainedRun", task: Task, **labels: str) -> str:
    """Draw the learning curves of a run into its folder; return the path or URI of `pictures`.

    Args:
        run: the finished run.
        task: its task.
        labels: `loss_label` and `share_label` of `learning_curves`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        learning_curves(
            Path(temporary) / "learning_curves.png",
            run.history,
            metric_names=task.metric_names,
            score=task.score,
            shares=task.shares,
            **{"loss_label": "loss"} | labels,
        )
        pictures = storage.join(run.folder, "pictures")
        storage.copy_folder(Path(temporary), pictures)
    return pictures


_MARKS = "-o", ":^", "--s", "-.D"


def learning_curves(
    path: Path,
    history: Sequence[Mapping[str, float]],
    *,
    metric_names: Sequence[str],
    score: tuple[str, Literal["max", "min"]],
    shares: Sequence[str] | None = None,
    loss_label: str = "cross-entropy (nats)",
    share_label: str = "share",
) -> None:
    """Draw the loss and the metrics over the epochs, training against validation, as a PNG.

    Args:
        path: the file to write; its folder is made if need be.
        history: for each epoch, in order: `epoch` (from 1), `loss`, each metric, and the same with
            `validation_` before the name; other keys are ignored, and values that are not finite
            leave a gap.
        metric_names: the metrics, as a task's `metric_names`; without any, only the loss is drawn.
        score: the key of `history` that decides which epoch is best (the last, if several are),
            and its direction; as a task's `score`.
        shares: the metrics that are shares from 0 to 1; None for all. Only if all of them are, they
            are shown in percent.
        loss_label: what the loss is, and its unit: "cross-entropy (nats)", "nats per note".
        share_label: what the metrics are shares of: "share of drawings".

    Raises:
        ValueError: no epochs.
        KeyError: an epoch lacks a key.
        UserError: the file cannot be written.
    """
    if not history:
        raise ValueError("no epochs: learning curves need one at least")
    in_percent = shares is None or set(metric_names) <= set(shares)

    def values(key: str) -> NDArray[np.float64]:
        column = np.array([row[key] for row in history], np.float64)
        return np.where(np.isfinite(column), column, np.nan)

    epochs, goal = values("epoch"), values(score[0])
    best = None
    if not np.isnan(goal).all():
        # Of equal ones the last, whose checkpoint is kept.
        value = np.nanmax(goal) if score[1] == "max" else np.nanmin(goal)
        best = int(np.flatnonzero(goal == value)[-1])
    titles = ["Loss", "Accuracy" if in_percent else "Metrics"]
    if best is not None:
        in_loss = score[0] in ("loss", "validation_loss")
        shown = f"{goal[best]:.1%}" if in_percent and not in_loss else f"{goal[best]:.4f}"
        titles[0 if in_loss else 1] += (
            f": best {_words(score[0])} {shown} in epoch {epochs[best]:g}"
        )
    count = 2 if metric_names else 1
    figure = plot_style.new(5 * count, 4.2)
    loss = plot_style.chart(figure, (1, count, 1), titles[0], xlabel="epoch", ylabel=loss_label)
    charts = [loss]
    if metric_names:
        label = share_label if in_percent else ", ".join(metric_names)
        charts.append(plot_style.chart(figure, (1, 2, 2), titles[1], xlabel="epoch", ylabel=label))
    size = 5 if len(history) <= 15 else 0  # of the markers, which crowd a long run
    marks = cycle(_MARKS)
    for key, axes, mark in [
        ("loss", loss, "-o"),
        *((k, charts[-1], next(marks)) for k in metric_names),
    ]:
        for prefix, color, who in (("", MUTED, "training"), ("validation_", BLUE, "validation")):
            label = f"{who} {_words(key)}"
            axes.plot(epochs, values(prefix + key), mark, color=color, label=label, lw=1.6)
            axes.lines[-1].set(markersize=size, clip_on=False)
    for axes in charts:
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        if best is not None:
            axes.axvline(epochs[best], color=VERMILION, lw=1, zorder=1, label="best epoch")
    loss.set_ylim(bottom=0)
    if metric_names and in_percent:
        low, high = charts[1].get_ylim()
        charts[1].set_ylim(
            max(0, math.floor(10 * low - 0.5) / 10), min(1, math.ceil(10 * high) / 10)
        )
        charts[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    lines, names = charts[-1].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=5, frameon=False, fontsize=BODY)
    plot_style.save(figure, path)


def _words(key: str) -> str:
    """`validation_top5` as people write it: "validation top-5"."""
    return re.sub(r"(?<=[a-z])(?=\d)", "-", key.replace("_", " "))
