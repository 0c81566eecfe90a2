"""The notice that a worker gets before it is taken away: SIGTERM, or its node is being drained.

Clouds take spot machines back, and Kubernetes its pods, with a notice of 30 seconds and more.
"""

import signal
import threading
from types import FrameType

import ray
from ray.train.v2._internal.execution.context import get_train_context

_sigterm = threading.Event()


def expect() -> None:
    """Take SIGTERM as a notice from here on; in the training function of a worker."""
    # Ray Train runs that in a thread, and handlers can be installed in the main one alone, which
    # has nothing to do but the actor's calls.
    actor = ray.get_runtime_context().current_actor
    ray.get(actor.__ray_call__.remote(_install))


def came() -> bool:
    """Whether this worker was told to leave; costs a microsecond."""
    if _sigterm.is_set():
        return True
    # The public ray.train.get_preemption_info() is a barrier of all workers: not for every step.
    context = get_train_context()
    info = context.preemption_context.preemption_info
    return info is not None and context.get_world_rank() in info.preempted_ranks


def _install(_: object) -> None:
    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process
        _sigterm.set()

    signal.signal(signal.SIGTERM, note)
