"""Random settings of a sweep: drawn from ranges, and from lists of values."""

from collections.abc import Mapping, Sequence

from suites.selection import Range


def propose(space: Mapping[str, Range | Sequence[float]], trials: int, seed: int) -> list[dict[str, float]]:
    """Random settings by Optuna: uniform in ranges, any of a list's values.

    The first n of them are the same for every number of trials.

    Args:
        space: parameters, by name.
        trials: how many settings.
        seed: the same seed gives the same settings.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {
        name: optuna.distributions.FloatDistribution(values.low, values.high)
        if isinstance(values, Range)
        else optuna.distributions.CategoricalDistribution(list(values))
        for name, values in sorted(space.items())
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    proposals = [study.ask(distributions).params for _ in range(trials)]
    return [
        {name: space[name].rounded(value) if isinstance(space[name], Range) else value for name, value in setting.items()}
        for setting in proposals
    ]
