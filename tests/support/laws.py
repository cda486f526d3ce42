"""Counts against exact laws, for tests of code that draws: judged by the evidence module, and able to reject."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import numpy as np

from spanver.evidence import log_e_law

ALPHA = 1e-6
PLANTED = 0.05  # total variation of the wrong law that must be rejected


def rejects(counts: Mapping[Hashable, int], law: Mapping[Hashable, float]) -> bool:
    """Whether independent draws with these counts are evidence, at level `ALPHA`, that they have another law."""
    assert set(counts) <= {cell for cell, probability in law.items() if probability > 0.0}
    drawn = np.repeat(np.arange(len(law)), [counts.get(cell, 0) for cell in law])
    shuffled = np.random.default_rng(0).permutation(drawn)  # counts have no order; any that ignores them is fair
    probabilities = np.array(list(law.values()))
    return log_e_law(shuffled, probabilities / probabilities.sum()) >= -math.log(ALPHA)


def assert_law(counts: Mapping[Hashable, int], law: Mapping[Hashable, float]) -> None:
    """Accept `law`, and reject a law that is `PLANTED` away from it."""
    assert math.isclose(math.fsum(law.values()), 1.0, rel_tol=1e-9)
    assert not rejects(counts, law)
    heaviest = max(law, key=lambda cell: law[cell])
    shrink = 1.0 - PLANTED / (1.0 - law[heaviest])
    planted = {cell: shrink * probability for cell, probability in law.items()}
    planted[heaviest] = law[heaviest] + PLANTED
    assert rejects(counts, planted)
