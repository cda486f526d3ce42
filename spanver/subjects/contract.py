"""What a subject is, and the contract: which functions it may provide, what they take, and what they return.

A *subject* is an implementation of some of the functions in `FUNCTIONS`, under these names. It declares which it
provides, and the harness calls no others. A result in another form (`spanver.subjects.results`), or with a NaN in it,
breaks the contract (`ContractError`). `FUNCTIONS` is the one table of the contract: what travels over a pipe and how,
the names in the protocol's schema, and the table in docs/subjects.md are derived from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from spanver.errors import ArgumentError, ContractError
from spanver.subjects.results import (
    baseline,
    best_of_n,
    density,
    extended_number,
    identity,
    index_rows,
    indices,
    layers,
    log_vector,
    mtss_run,
    pair,
    policy,
    spanner,
    value_fit,
    vector,
)
from spanver.validation import require, require_one_of, require_real

CLAIMS = ("A1", "A1r", "A2")
"""Algorithms of mathematics.md that a subject may claim to be to the letter."""

PRECISIONS: Mapping[str, float] = MappingProxyType(
    {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
)
"""Unit roundoff by the name of a precision."""

LARGEST_APPROXIMATION = 1e3
"""Of a spanner: pivoted QR promises `2^(d-1)`, and above 1000 hardly any set would be refused at the sizes tried."""


Call: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any]]
"""Arguments of one call: by position, and by name."""

Outcomes: TypeAlias = Iterator[tuple[Call, Callable[[], Any]]]
"""Calls, each with a function that returns or raises what came of it."""


@dataclass(frozen=True)
class Subject:
    """An implementation to be verified.

    Attributes
    ----------
    name : str
    functions : mapping
        The functions that it provides, by their names in the contract.
    approximation : float
        `C` of its barycentric spanners (B1), from 1 to `LARGEST_APPROXIMATION`.
    may_fall_short : bool
        Whether its barycentric spanners may have fewer members than the rank. Then only complete ones are judged.
    unpromised : frozenset of str
        Functions that promise nothing: their guarantees are measured and not judged.
    claims : frozenset of str
        Algorithms out of `CLAIMS` that it claims to be to the letter: their conformance is then judged too.
    precision : str or float
        Of its arithmetic: one of `PRECISIONS`, or a unit roundoff of at most the coarsest of them, for an iterative
        method its tolerance. Bounds of exact checks are derived from it (`spanver.guarantees.rounding`).
    together : callable, optional
        `together(name, make, count)` makes many independent calls, `make(index)` each, more quickly than one after
        another (`spanver.subjects.together`).
    close : callable
        Called when it is no longer needed.
    """

    name: str
    functions: Mapping[str, Callable[..., Any]]
    approximation: float = 2.0
    may_fall_short: bool = False
    unpromised: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    precision: str | float = "float64"
    together: Callable[[str, Callable[[int], Call], int], Outcomes] | None = None
    close: Callable[[], None] = field(default=lambda: None)

    DECLARED: ClassVar[tuple[str, ...]] = ("approximation", "may_fall_short", "unpromised", "claims", "precision")
    """What a subject may declare about itself."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.functions) - set(FUNCTIONS))
        require(not unknown, "provides", unknown, f"some of: {', '.join(FUNCTIONS)}")
        object.__setattr__(self, "functions", MappingProxyType(dict(self.functions)))
        require_real("approximation", self.approximation, least=1.0, most=LARGEST_APPROXIMATION)
        require(isinstance(self.may_fall_short, bool), "may_fall_short", self.may_fall_short, "True or False")
        for name, allowed in (("unpromised", tuple(FUNCTIONS)), ("claims", CLAIMS)):
            strange = sorted(getattr(self, name) - set(allowed))
            require(not strange, name, strange, f"some of: {', '.join(allowed)}")
        if isinstance(self.precision, str):
            require_one_of("precision", self.precision, PRECISIONS)
        else:
            require_real("precision", self.precision, least=2.0**-113, most=max(PRECISIONS.values()))

    @property
    def unit(self) -> float:
        """Unit roundoff of its arithmetic."""
        return PRECISIONS[self.precision] if isinstance(self.precision, str) else self.precision

    @property
    def arithmetic(self) -> str:
        """Its arithmetic in words."""
        return self.precision if isinstance(self.precision, str) else f"a unit roundoff of {self.precision:g}"

    @property
    def declared(self) -> dict[str, Any]:
        """What it declares that is not the default, as plain data by name: it loosens or tightens what is judged."""
        given = {name: getattr(self, name) for name in self.DECLARED if getattr(self, name) != getattr(Subject, name)}
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in given.items()}

    @property
    def provides(self) -> frozenset[str]:
        """Names of the functions that it provides."""
        return frozenset(self.functions)


class Kind(Enum):
    """What an argument is, which decides how it travels over a pipe."""

    PLAIN = "as it is"
    ARRAY = "an array of float64"
    LAYERS = "a list of such arrays"
    SCORE = "a score"
    SETTINGS = "the settings of an algorithm"
    ORACLE = "an oracle, whose queries travel back"
    EPISODIC_ORACLE = "an oracle of layers, likewise"
    CORES = "a core-set a layer: the parts of `Pairs`"
    PROBLEM = "a table: the facts of a `TabularProblem`"
    BUDGET = "a budget, or None"


@dataclass(frozen=True)
class Argument:
    """One argument of a function: its kind, and its shape or meaning in words."""

    kind: Kind
    words: str = ""


@dataclass(frozen=True)
class Function:
    """One function that a subject may provide.

    Attributes
    ----------
    name : str
    positional, named : mapping of str to Argument
        Arguments that are passed by position, in this order, and those that are passed by name.
    result : str
        In words.
    form : callable
        Brings a result into the one form that the properties use.
    makes_oracle : bool
        Whether the result is an oracle of the subject's own: then it stays where it is, and queries travel to it.
    """

    name: str
    positional: Mapping[str, Argument]
    named: Mapping[str, Argument]
    result: str
    form: Callable[[Any], Any]
    makes_oracle: bool = False

    @property
    def arguments(self) -> Mapping[str, Argument]:
        """All arguments, by name."""
        return {**self.positional, **self.named}

    @property
    def is_layered(self) -> bool:
        """Whether its oracle is one of layers, and its settings those of MTSS."""
        return any(each.kind is Kind.EPISODIC_ORACLE for each in self.positional.values())


def _array(shape: str) -> Argument:
    return Argument(Kind.ARRAY, f"({shape})")


def _plain(names: str) -> dict[str, Argument]:
    return dict.fromkeys(names.split(), _PLAIN)


_PLAIN = Argument(Kind.PLAIN)
_ORACLE = {"oracle": Argument(Kind.ORACLE)}
_SAMPLER = _ORACLE | {"prompt": _PLAIN, "score": Argument(Kind.SCORE)}
_LOG_N = Argument(Kind.ARRAY, "(n,) in logs")
_LOG_LAYERS = Argument(Kind.LAYERS, "[(S_h, A)] in logs")
_LAYERED = {
    "layers": _LOG_LAYERS,
    "rewards": Argument(Kind.LAYERS, "[(S_h, A)]"),
    "transitions": Argument(Kind.LAYERS, "[(S_h, A, S_(h+1))]"),
}
_REGRESSION = {"features": _array("n, d"), "targets": _array("n,")}
_VECTORS = {"vectors": _array("n, d")}
_SETTINGS = {"settings": Argument(Kind.SETTINGS)}
_LAYERED_ORACLE = {"oracle": Argument(Kind.EPISODIC_ORACLE, "of layers")}
_AT_LAYER = _LAYERED_ORACLE | {
    "layer": Argument(Kind.PLAIN, "from 0"),
    "cores": Argument(Kind.CORES, "H core-sets"),
    "thetas": _array("H, d"),
}
_TABLE, _MAKING = {"problem": Argument(Kind.PROBLEM)}, _plain("seed") | {"budget": Argument(Kind.BUDGET)}
_DRAWS = _plain("count seed")
_BASELINE, _CHOSEN, _INDICES = "a baseline run", "indices of the chosen", "indices (count,)"

# a table, a row a function
# fmt: off
FUNCTIONS: Mapping[str, Function] = MappingProxyType({each.name: each for each in (
    Function("elliptic_norms", {"features": _array("n, d"), "sigma": _array("d, d")}, {}, "norms (n,)", vector),
    Function("log_softmax", {"log_base": _array("n,"), "scores": _array("n,")} | _plain("beta"), {},
             "log probabilities (n,), may be -inf", log_vector),
    Function("truncated_scores", {"features": _array("n, d"), "anchor": _array("d,"), "theta": _array("d,"),
             "precision": _array("d, d")} | _plain("nu"), {}, "scores (n,)", vector),
    Function("kl_divergence", {"law": _LOG_N, "reference": _LOG_N}, {}, "a number, may be inf", extended_number),
    Function("kl_estimate", {"law": _LOG_N, "reference": _LOG_N}, {}, "estimates (n,)", vector),
    Function("log_coverage", {"law": _LOG_N, "log_base": _LOG_N}, {}, "a number, may be inf", extended_number),
    Function("fit", _REGRESSION | _plain("radius"), {}, "theta (d,)", vector),
    Function("box_fit", _REGRESSION | _plain("radius"), {}, "theta (d,)", vector),
    Function("fit_preferences", {"features": _array("n, d"), "labels": _array("n,")} | _plain("radius"), {},
             "theta (d,)", vector),
    Function("ridge_regression", _REGRESSION | _plain("ridge"), {}, "theta (d,)", vector),
    Function("draw", {"probabilities": _array("n,")} | _DRAWS, {}, _INDICES, indices),
    Function("draw_weights", {"weights": _array("n,")} | _DRAWS, {}, _INDICES, indices),
    Function("draw_logits", {"logits": Argument(Kind.ARRAY, "(n,) may be -inf")} | _DRAWS, {}, _INDICES, indices),
    Function("draw_batch", {"probabilities": _array("m, n")} | _DRAWS, {}, "indices (m, count)", index_rows),
    Function("draw_distinct", {"weights": _array("n,")} | _DRAWS, {}, "different indices (count,)", indices),
    Function("barycentric_spanner", _VECTORS | _plain("approximation"), {}, _CHOSEN, indices),
    Function("covering_list", _VECTORS | _plain("ridge nu"), {}, _CHOSEN, indices),
    Function("pivoted_diagonal", _VECTORS, {}, "abs diagonal of R", vector),
    Function("softmax_sample", _SAMPLER, _plain("multiplier failure seed"), "a response, or its id", identity),
    Function("softmax_sample_density", _SAMPLER, _plain("multiplier failure seed"),
             "a response, or its id, and its log ratio: response, log_ratio", density),
    Function("race_sample", _SAMPLER, _plain("multiplier failure seed"), "a response, or its id", identity),
    Function("build_spanner", _ORACLE, _plain("prompts pairs_per_prompt nu ridge seed"), "a spanner", spanner),
    Function("spanner_sampling", _ORACLE, _plain("seed") | _SETTINGS,
             "a run: thetas, precision, nu", policy),
    Function("preference_sampling", _ORACLE, _plain("seed") | _SETTINGS,
             "a run: thetas, precision, nu", policy),
    Function("anchored_sampling", _ORACLE, _plain("seed") | _SETTINGS,
             "a run: thetas, precision, nu", policy),
    Function("passive_learner", _ORACLE, _plain("rounds seed"), _BASELINE, baseline),
    Function("online_dpo", _ORACLE, _plain("rounds seed feedback"), _BASELINE, baseline),
    Function("xpo", _ORACLE, _plain("rounds alpha seed feedback partition_samples"), _BASELINE, baseline),
    Function("elliptical_enumeration", _ORACLE, _plain("rounds ridge seed"), _BASELINE, baseline),
    Function("best_of_n", _ORACLE, _plain("rounds count seed"), "a baseline run, with its count", best_of_n),
    Function("soft_q", _LAYERED | _plain("beta"), {}, "values [(S_h, A)]", layers),
    Function("policy_q", {"laws": _LOG_LAYERS} | _LAYERED | _plain("beta"), {}, "values [(S_h, A)]", layers),
    Function("fit_value", _AT_LAYER, _plain("seed") | _SETTINGS, "a fit: theta, targets", value_fit),
    Function("uncertain_state_action", _AT_LAYER, _plain("seed") | _SETTINGS, "a pair: state, action", pair),
    Function("mtss", _LAYERED_ORACLE, _plain("seed") | _SETTINGS,
             "a run: thetas, states, actions, largest, returned, certain", mtss_run),
    Function("literal_oracle", _TABLE, _MAKING, "an oracle", lambda oracle: oracle, makes_oracle=True),
    Function("counted_oracle", _TABLE, _MAKING, "an oracle", lambda oracle: oracle, makes_oracle=True),
    Function("generalised_oracle", _TABLE, _MAKING, "an oracle", lambda oracle: oracle, makes_oracle=True),
)})
# fmt: on
"""The contract: every function that a subject may provide, by name."""


def result_of(name: str, value: Any) -> Any:
    """Return the result of a function in the one form that the properties use.

    Parameters
    ----------
    name : str
        Of the function.
    value : object
        What it returned.

    Raises
    ------
    ContractError
        If it has no such form, or holds a NaN.
    """
    try:
        return FUNCTIONS[name].form(value)
    except (ArgumentError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ContractError(f"{name} broke the contract: {error}") from error


def subject_from(value: Any, name: str) -> Subject:
    """Return the subject of an object, such as a module, whose attributes are the functions that its `provides` lists.

    Parameters
    ----------
    value : object
        A `Subject` is returned as it is.
    name : str
        Used if the object has no name of its own.

    Raises
    ------
    ArgumentError
        If `provides` is missing, or names a function that the object does not have.
    """
    if isinstance(value, Subject):
        return value
    provides = getattr(value, "provides", None)
    if not isinstance(provides, frozenset | set | tuple | list) or not all(isinstance(each, str) for each in provides):
        raise ArgumentError("provides", provides, f"a set of names out of: {', '.join(FUNCTIONS)}")
    missing = sorted(each for each in provides if not callable(getattr(value, each, None)))
    require(not missing, "provides", missing, "functions that the subject has")
    own_name = getattr(value, "name", None)
    return Subject(
        name=own_name if isinstance(own_name, str) else name,
        functions={each: getattr(value, each) for each in provides},
        approximation=float(getattr(value, "approximation", Subject.approximation)),
        may_fall_short=bool(getattr(value, "may_fall_short", False)),
        unpromised=frozenset(getattr(value, "unpromised", ())),
        claims=frozenset(getattr(value, "claims", ())),
        precision=getattr(value, "precision", Subject.precision),
    )
