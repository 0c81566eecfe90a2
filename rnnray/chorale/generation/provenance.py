"""The software and devices that made a run's files, compared when the run is resumed."""

from collections.abc import Collection, Mapping
from importlib import metadata

import rnnray
from rnnray import run_folder
from rnnray.artifacts import Store
from rnnray.chorale.generation.plan import Device
from rnnray.progress import say

FIELD = "made_with"
"""Field of run.yaml."""

_ACCELERATOR = "accelerator_type:"  # prefix of Ray's resource for a node's accelerator


def made_with(device: Device, formats: Collection[str] = ()) -> dict[str, str]:
    """Return versions, and the cluster's GPU models if GPUs compose (then needs a cluster).

    Args:
        device: kind of device that composes.
        formats: suffixes of the files that are written.
    """
    about = {"rnnray": rnnray.__version__}
    compressed = ["soundfile"] if {"flac", "ogg"} & {*formats} else []
    for name in ("tensorflow", "keras", "numpy", *compressed):
        about[name] = _version(name)
    if device == "gpu":
        import ray  # noqa: PLC0415  (about a second, which --dry-run need not spend)

        models = [name for name in ray.cluster_resources() if name.startswith(_ACCELERATOR)]
        about["gpu"] = ", ".join(sorted(name.removeprefix(_ACCELERATOR) for name in models))
    return about


def say_differences(store: Store, saved: Mapping[str, object], now: Mapping[str, str]) -> None:
    """Warn if a run is resumed with other software or another GPU than it began with.

    The run is not refused, because the files of each part still come from one attempt, and are
    those that the manifest names. Runs from before this record existed count as equal.

    Args:
        store: store of the run.
        saved: content of the run's run.yaml.
        now: software and devices of this process.
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
