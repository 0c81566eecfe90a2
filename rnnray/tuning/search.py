"""Searchers, which draw values, and schedulers, which treat poor trials, by Ray Tune."""

import logging
import random
import warnings
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining

from rnnray.errors import UserError
from rnnray.training.training_options import TrainingConfig
from rnnray.tuning.space import Choice, Range, Space, with_values
from rnnray.tuning.sweep_options import SweepOptions
from rnnray.tuning.trial import EPOCHS
from rnnray.tuning.trial_curve import Score


def draw(space: Space, config: TrainingConfig, samples: int) -> list[dict[str, Any]]:
    """Draw the values of each trial from the configuration's seed.

    A shorter sweep has the first values of a longer one.

    Args:
        space: the search space.
        config: configuration that the trials vary.
        samples: number of trials.

    Returns:
        For each trial its values by field.

    Raises:
        UserError: the space allows values that the configuration refuses together.
    """
    rng = random.Random(config.seed)
    drawn = [{name: spec.draw(rng) for name, spec in space.items()} for _ in range(samples)]
    for values in drawn:
        with_values(config, values)
    return drawn


def optuna_search(space: Space, score: Score, seed: int) -> Any:
    """Return Optuna's searcher over a space, for Ray Tune.

    Args:
        space: the search space.
        score: see `rnnray.tuning.trial_curve.Score`.
        seed: seed of Optuna's random choices.

    Raises:
        UserError: Optuna is not installed.
    """
    try:
        import optuna  # noqa: PLC0415  (an extra)
        from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            "--searcher optuna needs Optuna, an extra of this project: pip install 'rnnray[optuna]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
    # Optuna warns of choices among lists, which only its database could not store; we use none.
    warnings.filterwarnings("ignore", message="Choices for a categorical", module="optuna")
    metric, mode = score
    return OptunaSearch(
        {f"values/{name}": _distribution(spec) for name, spec in space.items()},
        metric=metric,
        mode=mode,
        seed=seed,
    )


def _distribution(spec: Range | Choice) -> Any:
    from optuna import distributions  # noqa: PLC0415

    if isinstance(spec, Choice):
        return distributions.CategoricalDistribution(spec.values)
    if spec.whole:
        return distributions.IntDistribution(int(spec.low), int(spec.high), log=spec.log)
    return distributions.FloatDistribution(spec.low, spec.high, log=spec.log)


def scheduler(
    options: SweepOptions, space: Space, changeable: Container[str], epochs: int, seed: int
) -> Any:
    """Return Ray Tune's scheduler.

    Args:
        options: name of the scheduler, and its settings.
        space: the search space.
        changeable: fields that may change in mid-training, for pbt.
        epochs: epochs of a whole trial.
        seed: seed of pbt's random choices.

    Raises:
        UserError: pbt has no field to change.
    """
    if options.scheduler == "asha" and epochs > options.grace_epochs:
        return ASHAScheduler(
            time_attr=EPOCHS,
            max_t=epochs,
            grace_period=options.grace_epochs,
            reduction_factor=options.reduction,
        )
    if options.scheduler == "pbt":
        return _population_based_training(options, space, changeable, seed)
    return FIFOScheduler()


def _population_based_training(
    options: SweepOptions, space: Space, changeable: Container[str], seed: int
) -> Any:
    changed = {name: spec for name, spec in space.items() if name in changeable}
    if not changed:
        raise UserError(
            f"--scheduler pbt changes values during training, and none of {', '.join(space)} can "
            "change then: search the learning rate too"
        )
    rng = random.Random(f"pbt {seed}")  # not the generator that drew the trials' first values
    # Ray Tune draws from the global generators.
    random.seed(seed)
    np.random.seed(seed % 2**32)

    def keep_in_range(arguments: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(arguments["values"])
        for name, spec in changed.items():
            if isinstance(spec, Range):
                inside = min(max(values[name], spec.low), spec.high)
                values[name] = round(inside) if spec.whole else inside
        return {"values": values}

    return PopulationBasedTraining(
        time_attr=EPOCHS,
        perturbation_interval=options.exchange_epochs,
        hyperparam_mutations={
            "values": {
                name: list(spec.values)
                if isinstance(spec, Choice)
                else (lambda spec=spec: spec.draw(rng))
                for name, spec in changed.items()
            }
        },
        custom_explore_fn=keep_in_range,
        # All trials wait for each other at each exchange; so the result depends on the seed alone.
        synch=True,
    )
