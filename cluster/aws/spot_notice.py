#!/usr/bin/env python3
"""Tell Ray that AWS takes this spot machine back, so that training first writes a checkpoint.

AWS gives notice two minutes ahead in the machine's own metadata (IMDSv2), where Ray does not look.
This script asks there every few seconds. When the notice comes, it has Ray drain this node, and
ends. It runs beside a worker's `ray start` and needs only Python and `ray`.
"""

import argparse
import http.client
import json
import logging
import os
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

_ANSWER_SECONDS, _DRAIN_SECONDS = 2.0, 30.0
# To Ray, a node that dies before the deadline of its drain has failed; AWS's time is a rough one.
_MARGIN_SECONDS = 10
# Metadata come from this machine, never through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

log = logging.getLogger("spot_notice")


def notice(metadata: str) -> datetime | None:
    """Return when this machine is taken back; None as long as there is no notice.

    Args:
        metadata: URL of the metadata service.

    Raises:
        OSError, http.client.HTTPException: the service does not answer, or refuses.
        ValueError, KeyError: its answer is not a notice.
    """
    token = _ask(
        "PUT", f"{metadata}/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60"
    )
    try:
        said = _ask(
            "GET",
            f"{metadata}/latest/meta-data/spot/instance-action",
            "X-aws-ec2-metadata-token",
            token,
        )
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND:
            return None
        raise
    return datetime.fromisoformat(json.loads(said)["time"])


def wait_for_notice(metadata: str, every: float) -> datetime:
    """Ask `every` this many seconds for the notice; return when the machine is taken back."""
    while True:
        try:
            if (end := notice(metadata)) is not None:
                return end
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            log.warning("no answer from %s, asking again: %r", metadata, error)
        time.sleep(every)


def drain(end: datetime) -> bool:
    """Have Ray drain this node, which is taken back at `end`; return whether Ray agreed."""
    left = int((end - datetime.now(UTC)).total_seconds()) - _MARGIN_SECONDS
    command = ["ray", "drain-node", "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    command += ["--reason-message", "AWS takes this spot machine back"]
    command += ["--deadline-remaining-seconds", str(max(left, 0))]
    try:
        return subprocess.run(command, timeout=_DRAIN_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%r", error)
        return False


def _ask(method: str, url: str, header: str, value: str) -> str:
    request = urllib.request.Request(url, method=method, headers={header: value})
    with _OPENER.open(request, timeout=_ANSWER_SECONDS) as answer:
        return str(answer.read().decode())


def _main() -> None:
    parser = argparse.ArgumentParser(prog="spot_notice.py", description=__doc__)
    parser.add_argument(
        "--metadata",
        default=os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254",
        metavar="URL",
        help="URL of AWS's metadata service (default: %(default)s)",
    )
    parser.add_argument(
        "--every",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="seconds between two requests (default: %(default)g)",
    )
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    end = wait_for_notice(options.metadata.rstrip("/"), options.every)
    log.info("AWS takes this machine back at %s: draining its node", end)
    while not drain(end):
        if datetime.now(UTC) > end:
            raise SystemExit("Ray did not drain this node in time")
        time.sleep(options.every)
    log.info("Ray drains this node")


if __name__ == "__main__":
    _main()
