"""The results of any subject (dataclasses, mappings, nested lists) in one form, that of these dataclasses."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spanver.policies import TruncatedMixture
from spanver.validation import read_only, require, to_array
from spanver.values import FloatArray, IntArray, Prefix, Prompt, ResponseId


@dataclass(frozen=True)
class DensityResult:
    """A response and its density ratio (R8).

    Attributes
    ----------
    response : ResponseId
    log_ratio : float
    """

    response: ResponseId
    log_ratio: float


@dataclass(frozen=True, eq=False)
class SpannerResult:
    """The part of a spanner that is judged: `K` accepted pairs, and `Sigma`.

    Attributes
    ----------
    prompts, first, second : tuple, length K
    vectors : array, shape (K, d)
    targets : array, shape (K,)
    sigma : array, shape (d, d)
    """

    prompts: tuple[Prompt, ...]
    first: tuple[ResponseId, ...]
    second: tuple[ResponseId, ...]
    vectors: FloatArray
    targets: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """The part of a baseline run (A3) that is judged: its fits, and its data of `T` rounds.

    Attributes
    ----------
    thetas : array, shape (T, d)
        The fit of each round, to the data of the rounds before.
    vectors : array, shape (T, d)
    targets : array, shape (T,)
        Reward differences; for preferences 1 where the first is preferred, else -1.
    theta : array, shape (d,)
        The fit to all data, which is that of the policy.
    count : int or None
        `N` of `best_of_n`.
    """

    thetas: FloatArray
    vectors: FloatArray
    targets: FloatArray
    theta: FloatArray
    count: int | None = None


@dataclass(frozen=True, eq=False)
class MultiTurnResult:
    """The part of a multi-turn run that is judged: the spanner and the fit of each of the `H` layers.

    Attributes
    ----------
    thetas : array, shape (H, d)
    precisions : tuple of H arrays, shape (d, d)
    prefixes : tuple of H tuples of Prefix
    first, second : tuple of H tuples
        Ids of the tokens of each pair.
    vectors : tuple of H arrays, shape (K, d)
    targets : tuple of H arrays, shape (K,)
    """

    thetas: FloatArray
    precisions: tuple[FloatArray, ...]
    prefixes: tuple[tuple[Prefix, ...], ...]
    first: tuple[tuple[ResponseId, ...], ...]
    second: tuple[tuple[ResponseId, ...], ...]
    vectors: tuple[FloatArray, ...]
    targets: tuple[FloatArray, ...]


def vector(value: Any) -> FloatArray:
    """A vector of finite numbers, shape (n,)."""
    return read_only(value, ndim=1, name="result")


def log_vector(value: Any) -> FloatArray:
    """A vector of logarithms, shape (n,): finite, or minus infinity."""
    array = to_array("result", value, (None,), finite=False).copy()
    require(not bool(np.isnan(array).any() or (array == np.inf).any()), "result", value, "finite, or minus infinity")
    return array


def extended_number(value: Any) -> float:
    """A number that may be infinite."""
    number = float(value)
    require(not np.isnan(number), "result", value, "a number")
    return number


def indices(value: Any) -> IntArray:
    """Indices, shape (n,)."""
    return _integers(value, 1)


def index_rows(value: Any) -> IntArray:
    """Rows of indices, shape (m, n)."""
    return _integers(value, 2)


def _integers(value: Any, dimensions: int) -> IntArray:
    array = np.asarray(value)
    require(array.ndim == dimensions, "the number of dimensions of result", array.ndim, str(dimensions))
    require(array.dtype.kind in "iu" or array.size == 0, "result", value, "of integers")
    return array.astype(np.int64)


def _part(value: Any, name: str) -> Any:
    """Return a part of a result, which is a mapping or an object."""
    if isinstance(value, Mapping):
        require(name in value, "result", sorted(map(str, value)), f"with the key {name}")
        return value[name]
    require(hasattr(value, name), "result", value, f"with the attribute {name}")
    return getattr(value, name)


def identity(value: Any) -> ResponseId:
    """The id of a response, from the response or the id itself."""
    if isinstance(value, Mapping) or hasattr(value, "id"):
        value = _part(value, "id")
    return value if isinstance(value, str) else operator.index(value)


def density(value: Any) -> DensityResult:
    """A response, or its id, with its density ratio in logs."""
    log_ratio = float(_part(value, "log_ratio"))
    require(np.isfinite(log_ratio), "log_ratio", log_ratio, "finite")
    return DensityResult(identity(_part(value, "response")), log_ratio)


def spanner(value: Any) -> SpannerResult:
    """Accepted pairs and `Sigma`."""
    dimension = len(np.asarray(_part(value, "sigma")))
    vectors = np.asarray(_part(value, "vectors"), dtype=np.float64).reshape(-1, dimension)
    result = SpannerResult(
        prompts=tuple(map(identity, _part(value, "prompts"))),
        first=tuple(map(identity, _part(value, "first"))),
        second=tuple(map(identity, _part(value, "second"))),
        vectors=read_only(vectors, ndim=2, name="vectors"),
        targets=read_only(_part(value, "targets"), ndim=1, name="targets"),
        sigma=read_only(_part(value, "sigma"), ndim=2, name="sigma"),
    )
    for name in ("prompts", "first", "second", "targets"):
        length = len(getattr(result, name))
        require(length == len(result.vectors), f"the length of {name}", length, f"{len(result.vectors)}, as of vectors")
    return result


def baseline(value: Any) -> BaselineResult:
    """Fits and data of a baseline run."""
    policy = getattr(value, "policy", value)
    result = BaselineResult(
        thetas=read_only(_part(value, "thetas"), ndim=2, name="thetas"),
        vectors=read_only(_part(value, "vectors"), ndim=2, name="vectors"),
        targets=read_only(_part(value, "targets"), ndim=1, name="targets"),
        theta=read_only(_part(policy, "theta"), ndim=1, name="theta"),
    )
    rounds, dimension = len(result.targets), len(result.theta)
    for name in ("thetas", "vectors"):
        shape = getattr(result, name).shape
        require(shape == (rounds, dimension), f"the shape of {name}", shape, f"{(rounds, dimension)}, as of the others")
    return result


def best_of_n(value: Any) -> BaselineResult:
    """Fits and data of best-of-N, with its `N`."""
    count = operator.index(_part(getattr(value, "policy", value), "count"))
    return replace(baseline(value), count=count)


def layers(value: Any) -> tuple[FloatArray, ...]:
    """The arrays of all layers."""
    return tuple(read_only(layer, ndim=2, name="a layer of result") for layer in value)


def multi_turn(value: Any) -> MultiTurnResult:
    """The spanner and the fit of every layer, from them or from a run that has pairs and a policy."""
    has_pairs = "pairs" in value if isinstance(value, Mapping) else hasattr(value, "pairs")
    parts = _parts_of_run(value) if has_pairs else value
    result = MultiTurnResult(
        thetas=read_only(_part(parts, "thetas"), ndim=2, name="thetas"),
        precisions=tuple(read_only(layer, ndim=2, name="precisions") for layer in _part(parts, "precisions")),
        prefixes=tuple(tuple(map(_prefix, layer)) for layer in _part(parts, "prefixes")),
        first=tuple(tuple(map(identity, layer)) for layer in _part(parts, "first")),
        second=tuple(tuple(map(identity, layer)) for layer in _part(parts, "second")),
        vectors=tuple(read_only(layer, ndim=2, name="vectors") for layer in _part(parts, "vectors")),
        targets=tuple(read_only(layer, ndim=1, name="targets") for layer in _part(parts, "targets")),
    )
    sizes = [len(each) for each in result.vectors]
    require(
        len(sizes) == len(result.thetas), "the layers of vectors", len(sizes), f"{len(result.thetas)}, as of thetas"
    )
    for name in ("prefixes", "first", "second", "targets"):
        lengths = [len(each) for each in getattr(result, name)]
        require(lengths == sizes, f"the lengths of {name}", lengths, f"{sizes}, as of vectors")
    layers = len(result.precisions)
    require(layers == len(sizes), "the layers of precisions", layers, f"{len(sizes)}, as of thetas")
    return result


def _parts_of_run(value: Any) -> dict[str, Any]:
    thetas = read_only(_part(value, "thetas"), ndim=2, name="thetas")
    pairs = [tuple(layer) for layer in _part(value, "pairs")]
    return {
        "thetas": thetas,
        "precisions": [_part(layer, "precision") for layer in _part(_part(value, "policy"), "layers")],
        "prefixes": [[_part(pair, "prompt") for pair in layer] for layer in pairs],
        "first": [[_part(pair, "first") for pair in layer] for layer in pairs],
        "second": [[_part(pair, "second") for pair in layer] for layer in pairs],
        "vectors": [_differences(layer, thetas.shape[1]) for layer in pairs],
        "targets": _part(value, "targets"),
    }


def _prefix(value: Any) -> Prefix:
    return Prefix(identity(_part(value, "prompt")), tuple(map(identity, _part(value, "tokens"))))


def _differences(pairs: Sequence[Any], dimension: int) -> FloatArray:
    """Relative features of pairs, shape (n, d)."""
    features = [[_part(_part(pair, name), "features") for name in ("first", "second")] for pair in pairs]
    first, second = np.moveaxis(np.asarray(features, dtype=np.float64).reshape(-1, 2, dimension), 1, 0)
    return read_only(first - second, ndim=2, name="pairs")


def policy(value: Any) -> TruncatedMixture:
    """The mixture that A2 returns."""
    policy = value if isinstance(value, Mapping) else getattr(value, "policy", value)
    thetas = read_only(_part(policy, "thetas"), ndim=2, name="thetas")
    precision = read_only(_part(policy, "precision"), ndim=2, name="precision")
    return TruncatedMixture(thetas, precision, float(_part(policy, "nu")))
