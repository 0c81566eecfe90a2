"""A sweep from its options to best.yaml, as the jobs of all models run it."""

from collections.abc import Container, Mapping
from typing import Any

from rnnray import cluster, storage
from rnnray.tuning import results, space, sweep
from rnnray.tuning.sweep_options import SweepOptions
from rnnray.tuning.trial import Problem


def find(
    problem: Problem,
    searched: space.Space,
    options: SweepOptions,
    *,
    changeable: Container[str] = (),
    data: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Run or resume a sweep, and write its best configuration into its folder.

    Without a connection to a cluster it makes one: see `rnnray.cluster.connect`.

    Args:
        problem: the problem whose configuration is searched.
        searched: the search space, as from `rnnray.tuning.space.read`.
        options: how to search.
        changeable: see `rnnray.tuning.sweep.run`.
        data: see `rnnray.tuning.sweep.run`.

    Returns:
        The result of `rnnray.tuning.results.publish`.

    Raises:
        UserError: see `rnnray.tuning.sweep.run` and `rnnray.tuning.results.publish`.
    """
    cluster.connect(dashboard=options.needs_dashboard())
    grid = sweep.run(problem, searched, options, changeable=changeable, data=data)
    config = problem.config
    score = sweep.score_of(problem.task(config), options.metric)
    folder = storage.join(storage.absolute(options.storage_path), options.name)
    return results.publish(
        results.collect(grid, score, config.epochs), searched, config, score, folder
    )
