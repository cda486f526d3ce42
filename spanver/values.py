"""The values that queries and answers are made of: frozen, read-only, and JSON both ways.

A prompt is an index (tables) or its text; so is the id of a response. A *score* is a function of a response that is
itself a value, and a *rule* says when `sample_until` stops: rules travel over a pipe because they are values and not
callbacks.
"""

from __future__ import annotations

import base64
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, TypeAlias

import cattrs
import numpy as np
from cattrs.strategies import configure_tagged_union
from numpy.typing import NDArray

from spanver.errors import ArgumentError
from spanver.kernels import linear_scores, truncated_scores
from spanver.validation import freeze, require, require_finite, require_positive

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
Prompt: TypeAlias = int | str
ResponseId: TypeAlias = int | str


class Outcome(Enum):
    """How a response came about, as far as the sampler that returned it can tell (A1)."""

    DRAWN = "drawn"
    """A plain draw."""
    ACCEPTED = "accepted"
    """An accepted trial."""
    CLIPPED = "clipped"
    """An accepted trial with `w > M Z`: evidence that the multiplier is too small."""
    FALLBACK = "fallback"
    """A fresh draw from the base policy after every trial failed."""


@dataclass(frozen=True, eq=False, slots=True)
class Response:
    """One response: its id, its features of shape `(d,)`, and how it came about."""

    id: ResponseId
    features: FloatArray
    outcome: Outcome = Outcome.DRAWN

    def __post_init__(self) -> None:
        freeze(self, features=1)


@dataclass(frozen=True, eq=False, slots=True)
class Responses:
    """Responses in the order drawn: ids, and features of shape `(count, d)`. Indexing gives a `Response`."""

    ids: tuple[ResponseId, ...]
    features: FloatArray

    def __post_init__(self) -> None:
        freeze(self, features=2)
        require(len(self.ids) == len(self.features), "the number of ids", len(self.ids), f"{len(self.features)}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> Response:
        # Without the checks of `Response`: its features are some of those that were checked here.
        one, index = object.__new__(Response), operator.index(position)
        object.__setattr__(one, "id", self.ids[index])
        object.__setattr__(one, "features", self.features[index])
        object.__setattr__(one, "outcome", Outcome.DRAWN)
        return one


def identity_of(response: Response | ResponseId) -> ResponseId:
    """The id of a response, from the response or the id itself."""
    return response.id if isinstance(response, Response) else response


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """Two responses to one prompt; `difference` is `v = phi(first) - phi(second)`."""

    prompt: Prompt
    first: Response
    second: Response

    @property
    def difference(self) -> FloatArray:
        """Relative feature, shape `(d,)`."""
        return self.first.features - self.second.features


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """The multiset of many draws: `k` distinct responses, and how often each was drawn, shape `(k,)`."""

    responses: Responses
    counts: IntArray

    def __post_init__(self) -> None:
        counts = np.array(self.counts)
        require(counts.dtype.kind in "iu" or counts.size == 0, "counts", self.counts, "integers below 2**63")
        counts = counts.astype(np.int64)
        require(
            counts.shape == (len(self.responses),), "the shape of counts", counts.shape, f"({len(self.responses)},)"
        )
        require(bool((counts > 0).all()), "counts", self.counts, "positive")
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)


@dataclass(frozen=True, eq=False, slots=True)
class LogProbabilities:
    """Responses in the order drawn, with the log probability of each under the policy that drew it, shape `(count,)`.

    Natural logarithms of the generalised oracle (Definition C.1 of the paper).
    """

    responses: Responses
    log_probabilities: FloatArray

    def __post_init__(self) -> None:
        freeze(self, log_probabilities=1)
        count = len(self.responses)
        require(
            len(self.log_probabilities) == count, "log_probabilities", self.log_probabilities, f"of shape ({count},)"
        )


@dataclass(frozen=True, eq=False, slots=True)
class SearchResult:
    """Result of `sample_until`: the responses of the accepted try, or None, and the number of tries."""

    responses: Responses | None
    tries: int


@dataclass(frozen=True, eq=False, slots=True)
class LinearScore:
    """Score `<theta, phi(y)>`."""

    theta: FloatArray

    def __post_init__(self) -> None:
        freeze(self, theta=1)

    def of(self, features: FloatArray) -> FloatArray:
        """Scores of features of shape `(n, d)`: shape `(n,)`."""
        scores: FloatArray = linear_scores(features, self.theta)
        return scores


@dataclass(frozen=True, eq=False, slots=True)
class TruncatedScore:
    """Score `<theta, v> 1[||v||_{Sigma^-1} <= nu]`, `v = phi(y) - anchor`, `precision = Sigma^-1` (A2, phase 2)."""

    theta: FloatArray
    anchor: FloatArray
    precision: FloatArray
    nu: float

    def __post_init__(self) -> None:
        freeze(self, theta=1, anchor=1, precision=2)
        shape = self.theta.shape
        require(self.anchor.shape == shape, "the shape of anchor", self.anchor.shape, str(shape))
        _check_precision(self.precision, len(self.theta))
        require_positive("nu", self.nu)

    def of(self, features: FloatArray) -> FloatArray:
        """Scores of features of shape `(n, d)`: shape `(n,)`."""
        scores: FloatArray = truncated_scores(features, self.anchor, self.theta, self.precision, self.nu)
        return scores


@dataclass(frozen=True, eq=False, slots=True)
class UncertainPairRule:
    """Rule: draw pairs until `||v||_{Sigma^-1} > nu`; `precision = Sigma^-1` (A2, phase 1).

    A try is two samples; or one, where the features of the second response of every pair are given as `anchor`.
    """

    precision: FloatArray
    nu: float
    anchor: FloatArray | None = None

    def __post_init__(self) -> None:
        freeze(self, precision=2)
        _check_precision(self.precision, len(self.precision))
        require_positive("nu", self.nu)
        if self.anchor is not None:
            freeze(self, anchor=1)
            shape = self.precision.shape[:1]
            require(self.anchor.shape == shape, "the shape of anchor", self.anchor.shape, str(shape))

    @property
    def samples_per_try(self) -> int:
        """Samples that a try takes."""
        return 2 if self.anchor is None else 1

    def differences(self, features: FloatArray) -> FloatArray:
        """Relative features `v` of tries, shape (n, d), of the features of their samples, shape (n, samples, d)."""
        return features[:, 0] - (features[:, 1] if self.anchor is None else self.anchor)


@dataclass(frozen=True, eq=False, slots=True)
class RejectionRule:
    """Rule: draw responses, accept each with probability `min(1, exp(score/beta - log_threshold))` (A1)."""

    score: LinearScore | TruncatedScore
    log_threshold: float
    samples_per_try: ClassVar[int] = 1

    def __post_init__(self) -> None:
        require_finite("log_threshold", self.log_threshold)


Score: TypeAlias = LinearScore | TruncatedScore
Rule: TypeAlias = UncertainPairRule | RejectionRule


def _check_precision(precision: FloatArray, dimension: int) -> None:
    square = (dimension, dimension)
    require(precision.shape == square, "the shape of precision", precision.shape, str(square))
    if (precision == precision.T).all():
        return
    asymmetry = float(np.abs(precision - precision.T).max(initial=0.0))
    require(asymmetry <= 1e-9 * float(np.abs(precision).max(initial=0.0)), "precision", precision, "symmetric")


def _array_from_json(data: Any, _: Any) -> NDArray[Any]:
    if isinstance(data, np.ndarray):
        return data
    if isinstance(data, dict):
        require(set(data) == {"shape", "float64"}, "array", data, "nested lists, or an object of shape and float64")
        numbers = np.frombuffer(base64.b64decode(data["float64"], validate=True), dtype="<f8").astype(np.float64)
        shape = tuple(data["shape"])
        fits = all(type(size) is int and size >= 0 for size in shape) and math.prod(shape) == len(numbers)
        require(fits, "the shape of an array", data["shape"], f"of {len(numbers)} numbers")
        return numbers.reshape(shape)
    return np.array(data)


def _integers_from_json(data: Any, kind: Any) -> NDArray[Any]:
    array = _array_from_json(data, kind)
    return array.astype(np.int64) if array.size == 0 else array  # without elements it is of no kind


def _array_to_json(array: NDArray[Any]) -> Any:
    # Nested lists of an array without elements would lose its shape.
    return array.tolist() if array.size else {"shape": list(array.shape), "float64": ""}


def _exactly(kind: type, *allowed: type) -> Callable[[Any, Any], Any]:
    """Structure hook that takes values of a type as they are: of other types, only an `int` for a `float`."""

    def structure(data: Any, _: Any) -> Any:
        require(type(data) in allowed, "value", data, f"of type {kind.__name__}")
        return kind(data)

    return structure


def _id_from_json(data: Any, _: Any) -> ResponseId:
    require(type(data) in (int, str), "id", data, "an integer or a string")
    result: ResponseId = data
    return result


def _responses_from_json(data: Any, _: Any) -> Responses:
    # By hand: most of what travels is responses, one by one.
    require(isinstance(data, dict) and data.keys() == {"ids", "features"}, "responses", data, "ids and features")
    ids = tuple(data["ids"])
    require({int, str}.issuperset(map(type, ids)), "ids", ids, "integers or strings")
    return Responses(ids, _array_from_json(data["features"], FloatArray))


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, allowed in ((int, (int,)), (bool, (bool,)), (float, (float, int)), (str, (str,))):
        converter.register_structure_hook(kind, _exactly(kind, *allowed))
    converter.register_unstructure_hook(np.ndarray, _array_to_json)
    converter.register_unstructure_hook_func(lambda kind: kind in (FloatArray, IntArray), _array_to_json)
    converter.register_structure_hook_func(lambda kind: kind == FloatArray, _array_from_json)
    converter.register_structure_hook_func(lambda kind: kind == IntArray, _integers_from_json)
    converter.register_structure_hook_func(lambda kind: kind == ResponseId, _id_from_json)
    converter.register_structure_hook(Responses, _responses_from_json)
    configure_tagged_union(LinearScore | TruncatedScore, converter, tag_name="kind")
    configure_tagged_union(UncertainPairRule | RejectionRule, converter, tag_name="kind")
    return converter


_CONVERTER = _make_converter()


def to_json(value: Any, kind: Any = None) -> Any:
    """Turn a value of this module into plain data that `json.dumps` takes.

    Parameters
    ----------
    value : object
    kind : type, optional
        `Score` or `Rule` to write which member of the union it is.
    """
    return _CONVERTER.unstructure(value, unstructure_as=kind)


def from_json(data: Any, kind: Any) -> Any:
    """Turn plain data back into a value of `kind`.

    Arrays may be arrays, nested lists, or `{"shape": .., "float64": base64}`.

    Raises
    ------
    ArgumentError
        If the data do not describe such a value.
    """
    try:
        return _CONVERTER.structure(data, kind)
    except ArgumentError:
        raise
    except cattrs.BaseValidationError as error:
        sentences = cattrs.transform_error(error, format_exception=lambda cause, _: str(cause))
        raise ArgumentError("data", data, f"the JSON form of {_name(kind)} ({'; '.join(sentences)})") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArgumentError("data", data, f"the JSON form of {_name(kind)} ({error})") from error


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
