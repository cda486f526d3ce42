"""What multi-turn SpannerSampling can cost at most: a polynomial in the depth (A4, T5; `[recon]`)."""

from __future__ import annotations

from collections.abc import Sequence

from spanver.validation import require_count

__all__ = ["multi_turn_cost"]


def multi_turn_cost(
    sizes: Sequence[int],
    *,
    warm_prompts: int,
    rollouts: int,
    checks: int,
    tests: int,
    partition_samples: int,
    per_token: int,
) -> tuple[int, int]:
    """Return the most `(samples, rewards)` of multi-turn SpannerSampling: a polynomial in the depth (T5; `[recon]`).

    Each sweep is begun by a new pair or is the first, so there are at most `1 + sum_h K_h` of them. In each a layer's
    pair is rolled out twice `N_roll` times, with a check, a token and a normaliser at every layer below.

    Parameters
    ----------
    sizes : sequence of int
        `K_h`, pairs in the spanner of each of the `H` layers, first token first.
    warm_prompts, rollouts, checks, tests, partition_samples : int
        `T_prompt`, `N_roll`, `N_check`, `N_test`, samples of each normaliser.
    per_token : int
        Most samples of drawing one token: the second one, and the sampler's (R1).

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> multi_turn_cost([1], warm_prompts=0, rollouts=3, checks=2, tests=1, partition_samples=8, per_token=5)
    (18, 12)
    """
    require_count("the number of sizes", len(sizes))
    counts = {"warm_prompts": warm_prompts, "tests": tests, "partition_samples": partition_samples}
    for name, value in counts.items():
        require_count(name, value, least=0)
    for name, value in {"rollouts": rollouts, "checks": checks, "per_token": per_token}.items():
        require_count(name, value)
    for size in sizes:
        require_count("a size", size, least=0)
    depth, sweeps = len(sizes), 1 + sum(sizes)
    visit = 2 * checks + per_token
    rolled = sum(2 * rollouts * size * (depth - layer) for layer, size in enumerate(sizes, start=1))
    per_sweep = rolled * (visit + partition_samples) + tests * depth * visit
    samples = warm_prompts * depth * (2 * checks + 1) + sweeps * per_sweep
    return samples, sweeps * 2 * rollouts * sum(sizes)
