"""The reference implementation as a subject like any other, on every array library that there is.

`subject` has everything, on NumPy. `on(name)` has what the array API carries - the kernels - with arrays of another
library on the way in and NumPy on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from spanver import kernels
from spanver.errors import MissingExtraError, SpanverError
from spanver.exact.tabular import kl_divergence, log_ratio
from spanver.learners.best_of_n import best_of_n
from spanver.learners.elliptical_enumeration import elliptical_enumeration
from spanver.learners.multi_turn import multi_turn
from spanver.learners.online_dpo import online_dpo
from spanver.learners.passive import passive_learner
from spanver.learners.race_sampler import race_sample
from spanver.learners.softmax_sampler import softmax_sample
from spanver.learners.spanner import build_spanner
from spanver.learners.spanner_sampling import spanner_sampling
from spanver.learners.xpo import xpo
from spanver.oracles import counted_oracle, literal_oracle
from spanver.problems.tokens import soft_q_of
from spanver.randomness import stream
from spanver.subjects.contract import Subject
from spanver.validation import require
from spanver.values import FloatArray, IntArray

__all__ = ["ARRAY_LIBRARIES", "draw", "on", "subject"]

ARRAY_LIBRARIES = ("array_api_strict", "torch", "jax", "cupy")
_EXTRAS = {"array_api_strict": "test", "cupy": "cuda"}  # that have it; others are installed as their users like
KERNELS: dict[str, Callable[..., Any]] = {
    "elliptic_norms": kernels.elliptic_norms,
    "log_softmax": kernels.log_softmax,
    "truncated_scores": kernels.truncated_scores,
    "fit": kernels.fit,
    "ridge_regression": kernels.ridge_regression,
    "barycentric_spanner": kernels.barycentric_spanner,
    "covering_list": kernels.covering_list,
}


def draw(probabilities: FloatArray, count: int, seed: int) -> IntArray:
    """Draw from a finite law by inversion (R6): indices, shape (count,)."""
    cumulative = np.cumsum(probabilities)
    uniforms = stream(seed, "draw").random(count) * cumulative[-1]
    drawn = np.searchsorted(cumulative, uniforms, side="right")
    # Rounding of the product may reach the total.
    return np.minimum(drawn, int(np.flatnonzero(probabilities)[-1]))


subject = Subject(
    name="reference",
    functions=KERNELS
    | {
        "kl_divergence": lambda law, reference: float(kl_divergence(law[None], reference[None])[0]),
        "log_coverage": lambda law, log_base: float(log_ratio(law, log_base)),
        "draw": draw,
        "softmax_sample": softmax_sample,
        "race_sample": race_sample,
        "build_spanner": build_spanner,
        "spanner_sampling": spanner_sampling,
        "passive_learner": passive_learner,
        "online_dpo": online_dpo,
        "xpo": xpo,
        "elliptical_enumeration": elliptical_enumeration,
        "best_of_n": best_of_n,
        "soft_q": soft_q_of,
        "multi_turn": multi_turn,
        "literal_oracle": literal_oracle,
        "counted_oracle": counted_oracle,
    },
)


def on(library: str) -> Subject:
    """Return the kernels of the reference on another array library.

    Parameters
    ----------
    library : str
        One of `ARRAY_LIBRARIES`. `array_api_strict` is used on its second device, which refuses what a GPU would.

    Raises
    ------
    MissingExtraError
        If the library, or a device for it, is missing.
    """
    require(library in ARRAY_LIBRARIES, "library", library, f"one of {', '.join(ARRAY_LIBRARIES)}")
    to_library, to_numpy = _conversions(library)
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


def _conversions(library: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    try:
        if library == "array_api_strict":
            import array_api_strict as strict  # noqa: PLC0415 (optional)

            device, back = strict.Device("device1"), strict.Device("CPU_DEVICE")
            return lambda a: strict.asarray(a, device=device), lambda a: np.asarray(strict.asarray(a, device=back))
        if library == "torch":
            import torch  # noqa: PLC0415 (optional)

            return lambda a: torch.from_numpy(a.copy()), lambda a: a.numpy()
        if library == "jax":
            import jax  # noqa: PLC0415 (optional)

            jax.config.update("jax_enable_x64", True)
            return jax.numpy.asarray, np.asarray
        import cupy  # noqa: PLC0415 (optional)
    except ImportError:
        if library in _EXTRAS:
            raise MissingExtraError(f"the reference on {library}", library, _EXTRAS[library]) from None
        raise SpanverError(f"the reference on {library} needs {library}: pip install {library}") from None
    if not cupy.cuda.is_available():
        raise MissingExtraError("the reference on cupy", "a GPU with its driver, and cupy", "cuda")
    return cupy.asarray, cupy.asnumpy
