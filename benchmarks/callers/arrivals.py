"""When requests arrive that do not wait for one another."""

import random


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the start, of arrivals at random at `rate` a second; the same for the same seed.

    Raises ValueError unless the rate is positive.
    """
    if rate <= 0:
        raise ValueError(f"arrivals need a rate above 0, not {rate}")
    generator = random.Random(seed)
    times: list[float] = []
    due = generator.expovariate(rate)
    while due < seconds:
        times.append(due)
        due += generator.expovariate(rate)
    return times
