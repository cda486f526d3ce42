"""Best-of-N learns as the passive learner does, and its policy earns more than the base policy."""

from __future__ import annotations

import numpy as np
from baseline_runs import PROBLEM, recorded

from spanver.exact.tabular import log_law
from spanver.policies import BestOfN
from spanver.verification.transcript import recount


def test_best_of_n_has_the_data_and_parameter_of_the_passive_learner_and_earns_more_than_the_base() -> None:
    run, queries = recorded("best of n", rounds=200)
    passive, same = recorded("passive", rounds=200)
    assert isinstance(run.policy, BestOfN)
    assert run.policy.count == 4
    assert recount(queries) == recount(same)
    for one, two in ((run.policy.theta, passive.policy.theta), (run.vectors, passive.vectors)):
        assert np.array_equal(one, two)
    earned = [
        float(PROBLEM.prompt_law @ (np.exp(law) * PROBLEM.reward).sum(axis=1))
        for law in (log_law(PROBLEM, run.policy), PROBLEM.log_base)
    ]
    assert earned[0] > earned[1] + 0.3
