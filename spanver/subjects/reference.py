"""The reference implementation as a subject: on NumPy, and its kernels on every backend.

`subject` provides every function of the contract but one, on NumPy. `on(name)` provides the kernels: arguments go in as
arrays of that library, and results come back as NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from spanver import kernels
from spanver.episodic import EpisodicOracle
from spanver.errors import MissingExtraError, SpanverError
from spanver.exact.layered import policy_q_by
from spanver.exact.tabular import kl_divergence, kl_estimate, log_ratio
from spanver.kernels.backends import BACKENDS
from spanver.learners.best_of_n import best_of_n
from spanver.learners.core_sets import Pairs
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.least_squares import box_fit
from spanver.learners.losses import logistic_fit
from spanver.learners.mtss import MTSSSettings, ValueFit, fit_value, mtss, uncertain_state_action
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample, softmax_sample_density
from spanver.learners.spanner import build_spanner
from spanver.learners.spanner_sampling import spanner_sampling
from spanver.learners.xpo import xpo
from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.parameter_sets import Ball
from spanver.problems.layered import soft_q_by
from spanver.subjects.contract import CLAIMS, FUNCTIONS, Subject
from spanver.subjects.finite_laws import draw, draw_batch, draw_distinct, draw_logits, draw_weights
from spanver.validation import require_one_of
from spanver.values import FloatArray

KERNELS: dict[str, Callable[..., Any]] = {name: getattr(kernels, name) for name in kernels.__all__ if name in FUNCTIONS}
"""The kernels that are functions of the contract."""

Layers: TypeAlias = Sequence[FloatArray]


def _soft_q(layers: Layers, rewards: Layers, transitions: Layers, beta: float) -> Layers:
    return soft_q_by(lambda layer, values: transitions[layer] @ values, layers, rewards, beta)


def _policy_q(laws: Layers, layers: Layers, rewards: Layers, transitions: Layers, beta: float) -> Layers:
    return policy_q_by(lambda layer, values: transitions[layer] @ values, laws, layers, rewards, beta)


# MTSS has no randomness of its own, so that no seed is read.


def _fit_value(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, **named: Any
) -> ValueFit:
    return fit_value(oracle, layer, cores, thetas, settings=named["settings"])


def _uncertain_state_action(
    oracle: EpisodicOracle, layer: int, cores: Sequence[Pairs], thetas: FloatArray, **named: Any
) -> dict[str, Any]:
    found = uncertain_state_action(oracle, layer, cores, thetas, settings=named["settings"])
    return {"state": found.states[0], "action": found.actions[0]}


def _mtss(oracle: EpisodicOracle, *, settings: MTSSSettings, seed: int) -> dict[str, Any]:
    run = mtss(oracle, settings=settings)
    added = [core[::2] for core in run.cores]  # each followed by its anchor's
    return {
        "thetas": np.array([each.thetas for each in run.iterations]),
        "states": np.array([core.states for core in added]).T,
        "actions": np.array([core.actions for core in added]).T,
        "largest": np.array([each.largest for each in run.iterations]),
        "returned": run.returned,
        "certain": run.certain,
    }


subject = Subject(
    name="reference",
    functions=KERNELS
    | {
        "kl_divergence": lambda law, reference: float(kl_divergence(law[None], reference[None])[0]),
        "kl_estimate": kl_estimate,
        "log_coverage": lambda law, log_base: float(log_ratio(law, log_base)),
        "soft_q": _soft_q,
        "policy_q": _policy_q,
        "fit_preferences": lambda features, labels, radius: logistic_fit(features, labels, Ball(radius)),
        "preference_sampling": spanner_sampling,
        "anchored_sampling": spanner_sampling,
        "generalised_oracle": partial(literal_oracle, log_probabilities=True),
        "fit_value": _fit_value,
        "uncertain_state_action": _uncertain_state_action,
        "mtss": _mtss,
    }
    | {
        each.__name__: each
        for each in (
            box_fit,
            draw,
            draw_weights,
            draw_logits,
            draw_batch,
            draw_distinct,
            softmax_sample,
            softmax_sample_density,
            race_sample,
            build_spanner,
            spanner_sampling,
            passive_learner,
            online_dpo,
            xpo,
            elliptical_enumeration,
            best_of_n,
            literal_oracle,
            counted_oracle,
        )
    },
    claims=frozenset(CLAIMS),
)


def on(library: str) -> Subject:
    """Return the kernels of the reference on another array library.

    Parameters
    ----------
    library : str
        A key of `spanver.kernels.backends.BACKENDS`.

    Raises
    ------
    MissingExtraError
        If the library, or a device for it, is missing and an extra has it.
    """
    require_one_of("library", library, BACKENDS)
    backend = BACKENDS[library]
    try:
        to_library, to_numpy = backend.conversions()
    except ImportError:
        if backend.extra is not None:
            raise MissingExtraError(f"the reference on {library}", backend.needs, backend.extra) from None
        raise SpanverError(f"the reference on {library} needs {backend.needs}: pip install {library}") from None
    return Subject(
        name=f"reference on {library}",
        functions={name: partial(_elsewhere, kernel, to_library, to_numpy) for name, kernel in KERNELS.items()},
    )


def _elsewhere(
    kernel: Callable[..., Any], to_library: Callable[[Any], Any], to_numpy: Callable[[Any], Any], *arguments: Any
) -> Any:
    converted = [to_library(each) if isinstance(each, np.ndarray) else each for each in arguments]
    result = kernel(*converted)
    return result if isinstance(result, list) else np.asarray(to_numpy(result), dtype=np.float64)
