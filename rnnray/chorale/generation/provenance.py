"""What made a run's files: software and devices, which a run that goes on compares and tells."""

from collections.abc import Mapping
from importlib import metadata

import ray

import rnnray
from rnnray import run_folder
from rnnray.artifacts import Store
from rnnray.chorale.generation.plan import Device
from rnnray.progress import say

FIELD = "made_with"
"""Of run.yaml."""

_ACCELERATOR = "accelerator_type:"  # Ray's resource of a node with one


def made_with(device: Device) -> dict[str, str]:
    """Versions, and the models of GPUs in the cluster if those compose; needs a cluster then."""
    about = {"rnnray": rnnray.__version__}
    for name in ("tensorflow", "keras", "numpy"):
        about[name] = _version(name)
    if device == "gpu":
        models = [name for name in ray.cluster_resources() if name.startswith(_ACCELERATOR)]
        about["gpu"] = ", ".join(sorted(name.removeprefix(_ACCELERATOR) for name in models))
    return about


def say_differences(store: Store, saved: Mapping[str, object], now: Mapping[str, str]) -> None:
    """Warn where a run goes on with other software or another GPU than it began with.

    Not refused: the files of each part still come from one attempt alone, and are those that the
    manifest names. Runs from before this was recorded differ in nothing.
    """
    began = saved.get(FIELD)
    if not isinstance(began, dict):
        return
    different = run_folder.differences({str(name): began[name] for name in began}, dict(now))
    if different:
        say(
            f"{store.uri}: resumes with other software or GPUs than it began with: {different}; "
            "from now on, chorales may differ from those that the earlier software would have "
            "composed"
        )


def _version(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
