"""Training on two nodes, of which one is drained as a cloud does that takes it back.

Usage: drained_node.py FOLDER; run by test_training_faults.py in a process of its own.
"""

import re
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import ray
from observed import wait_until
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from toy_faults import (
    Aside,
    Traced,
    check_history,
    seconds_to_recover,
    trace,
    train_toy,
)

NOTICE_SECONDS = 30


class Copy:
    """Standard output, and a copy of it."""

    def __init__(self) -> None:
        self.text, self._stdout = "", sys.stdout

    def write(self, text: str) -> int:
        self.text += text
        return self._stdout.write(text)

    def flush(self) -> None:
        self._stdout.flush()


def main() -> None:
    """See the module."""
    folder = Path(sys.argv[1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
    node = cluster.add_node(num_cpus=3)
    ray.init(address=cluster.address, log_to_driver=False)
    runs = []

    def train() -> None:
        # A worker a node; no failure is allowed, since a drained node is none.
        runs.append(
            train_toy(Traced(folder=str(folder)), epochs=4, cpus_per_worker=2, max_failures=0)
        )

    copy = Copy()
    with redirect_stdout(copy), Aside(train):  # type: ignore[type-var]
        wait_until(lambda: min(len(trace(folder, rank)) for rank in (0, 1)) > 80)
        drained = time.time()
        GcsClient(address=cluster.address).drain_node(
            node.node_id,
            autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION,
            "taken back",
            int((time.time() + NOTICE_SECONDS) * 1000),
        )
        cluster.add_node(num_cpus=3)  # as an autoscaler does
        time.sleep(NOTICE_SECONDS)
        cluster.remove_node(node, allow_graceful=False)
    check_history(runs[0], epochs=4)
    noticed = re.findall(r"was told to leave: checkpoint at step (\d+)", copy.text)
    assert noticed
    assert re.findall(r"resumed in epoch \d of 4, after step (\d+)", copy.text) == noticed
    seconds = seconds_to_recover(folder, drained)
    print(f"recovered after {seconds:.1f} s")  # noqa: T201
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
