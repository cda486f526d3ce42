"""The registry: every guarantee of section 4 of mathematics.md, once.

Properties, reports, tables and failure messages refer to it by id and restate nothing. Which properties check a
guarantee is found by reading the properties, not here. Statements are plain text for a terminal; symbols are those of
mathematics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from spanver.errors import ArgumentError
from spanver.guarantees import bounds, gaps, multi_turn, needle

__all__ = ["DEMANDS", "REGISTRY", "BoundFunction", "Demand", "Guarantee", "Kind", "Provenance", "guarantee"]

BoundFunction: TypeAlias = Callable[..., Any]


class Kind(Enum):
    """How a guarantee holds, and so how it is tested."""

    EXACT = "exact"
    """On every run: one violation is a bug."""
    EXACT_GIVEN = "exact given another"
    """On every run on which the guarantee named in `given` holds."""
    STATISTICAL = "statistical"
    """With the probability stated: tested by an e-process."""
    SCALING = "scaling"
    """A slope over a ladder of sizes lies in a stated band."""
    ILLUSTRATION = "illustration"
    """Cannot be tested; something is shown."""


class Provenance(Enum):
    """Where the least certain part of a statement comes from: reconstructed constants make it `RECON`."""

    FMR25 = "FMR25"
    """The paper's: name, form and rate."""
    RECON = "recon"
    """Reconstructed so that the paper's rate follows; the paper's own constants may differ."""
    EXT = "ext"
    """Goes beyond the paper."""
    STANDARD = "standard"
    """Known from elsewhere."""
    NONE = "-"
    """Follows from the definitions."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a statistical test of a guarantee must come to.

    Attributes
    ----------
    discrepancy : float
        Violation, in total variation or in probability, that it must detect with probability 0.99.
    instances : int
        On how many instances.
    """

    discrepancy: float
    instances: int


DEMANDS: Mapping[str, Demand] = MappingProxyType(
    {"quick": Demand(0.10, 8), "ci": Demand(0.03, 8), "deep": Demand(0.01, 16)}
)
"""By profile, in total variation (mathematics.md, section 6)."""
_RARE: Mapping[str, Demand] = MappingProxyType(
    {"quick": Demand(0.25, 8), "ci": Demand(0.10, 8), "deep": Demand(0.03, 16)}
)
"""By profile, in probability, for what fails rarely if at all and costs a whole run to observe."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One promise that an implementation is held to.

    Attributes
    ----------
    id, group, title, statement : str
        `id` as in mathematics.md, `group` the heading it stands under.
    kind : tuple of Kind
        Most guarantees have one kind.
    source : str
        Where it comes from, in words.
    provenance : Provenance
    bound : callable or None
        The function of numbers behind an inequality; its main one where there are several.
    given : str or None
        Id of the guarantee on whose holding this one rests, for `Kind.EXACT_GIVEN`.
    rare : bool
        Whether it fails rarely if at all, and costs a whole run to observe: a larger discrepancy is then detected.
    """

    id: str
    group: str
    title: str
    statement: str
    kind: tuple[Kind, ...]
    source: str
    provenance: Provenance
    bound: BoundFunction | None = None
    given: str | None = None
    rare: bool = False

    @property
    def demands(self) -> Mapping[str, Demand]:
        """What its statistical tests must come to, by profile; empty for guarantees that have none."""
        if Kind.STATISTICAL not in self.kind:
            return MappingProxyType({})
        return _RARE if self.rare else DEMANDS

    @property
    def kind_text(self) -> str:
        """The kinds in words, with the guarantee that this one rests on: "exact given E1"."""
        return ", ".join(f"exact given {self.given}" if kind is Kind.EXACT_GIVEN else kind.value for kind in self.kind)

    @property
    def source_text(self) -> str:
        """The source, with the provenance where the source does not name it."""
        named = self.provenance.value in self.source
        return self.source if named else f"{self.source} ({self.provenance.value})"


EXACT, STATISTICAL, SCALING, ILLUSTRATION = (Kind.EXACT,), (Kind.STATISTICAL,), (Kind.SCALING,), (Kind.ILLUSTRATION,)
GIVEN, BOTH = (Kind.EXACT_GIVEN,), (Kind.STATISTICAL, Kind.EXACT)
FMR25, RECON, EXT, STANDARD, NONE = Provenance

IDENTITIES, ORACLE, SAMPLER, SPANNER = "Identities", "Oracle", "Sampler", "Spanner"
SPANNERS, EXPLORATION, HEADLINE = "Spanners of other code", "Exploration", "Headline results"

# a table, a row a guarantee
# fmt: off
_GUARANTEES = (
    Guarantee("I1", IDENTITIES, "policies are normalised and shift invariant",
        "Policies sum to 1 on the support of pi_ref, and do not change when c(x) is added to scores or a vector "
        "u(x) to all phi(x,.).",
        EXACT, "-", NONE),
    Guarantee("I2", IDENTITIES, "gap is divergence from the optimum",
        "J(pi*) - J(pi) = beta E_x KL(pi || pi*) for every pi on the support; J(pi*) = beta E log E exp(r*/beta).",
        EXACT, "standard", STANDARD),
    Guarantee("I3", IDENTITIES, "range of the optimal policy's coverage",
        "1 <= C(pi*) <= exp(osc(r*)/beta); C(pi_ref) = 1; for one fixed r*, C(pi*) is non-decreasing in 1/beta.",
        EXACT, "FMR25", FMR25, gaps.log_coverage_bound),
    Guarantee("I4", IDENTITIES, "divergence by squared score error",
        "abs(f - g - c(x)) <= b beta for some c(x) implies beta KL(pi_f || pi_g) <= e^b/(2 beta) E_{pi_f} (f - g - "
        "c)^2 (tight).",
        EXACT, "recon", RECON, gaps.kl_bound),
    Guarantee("I5", IDENTITIES, "soft performance difference over tokens",
        "V*_1 - V^pi_1 = beta E_pi sum_h KL(pi_h || pi*_h).",
        EXACT, "standard", STANDARD),
    Guarantee("I6", IDENTITIES, "coverage of sequences by coverage of tokens",
        "C(pi*) <= C_cond^H; the token recursion and the sequence optimum give the same policy.",
        EXACT, "FMR25", FMR25, gaps.log_sequence_coverage),
    Guarantee("I7", IDENTITIES, "a token's value on every completion",
        "r* - beta sum_{l>h} log(pi*_l/pi_ref,l) = Q_h(s,a) on every completion of (s,a).",
        EXACT, "recon", RECON),
    Guarantee("O1", ORACLE, "the ledger counts every answer",
        "The ledger equals the number of answers that a literal run would have handed out, also after errors, "
        "budgets and interruptions.",
        EXACT, "FMR25 cost model", FMR25),
    Guarantee("O2", ORACLE, "counting without drawing has the law of drawing",
        "Counted and literal runs have the same law of (accepted pairs, outputs, ledger), question by question and "
        "end to end.",
        BOTH, "ext; exact law by enumeration on small tables", EXT),
    Guarantee("O3", ORACLE, "budgets hold",
        "A budget of n answers is never exceeded, and running out is a clear, typed error.",
        EXACT, "ext", EXT),
    Guarantee("R1", SAMPLER, "samples of one call",
        "A1 takes at most 2N + 1 base samples a call, N = ceil(4 M log(4/delta)).",
        EXACT, "FMR25; constants as in Rohatgi et al. 2025", FMR25, bounds.sampler_samples),
    Guarantee("R2", SAMPLER, "law of an accepted response",
        "Given a pilot with M Z >= max w over the support, the law given acceptance is exactly pi_f.",
        BOTH, "recon; exact on small Y", RECON),
    Guarantee("R3", SAMPLER, "distance to the target",
        "M >= 4 C(pi_f|x) implies TV(law, pi_f) <= delta. True TV is below .006 delta, so it is paired with the "
        "exact law (1-q_Z) A_Z + q_Z pi_ref averaged over pilots.",
        BOTH, "FMR25; constants as in Rohatgi et al. 2025", FMR25, bounds.sampler_multiplier),
    Guarantee("R4", SAMPLER, "distance of the race sampler",
        "The race sampler has TV <= (1 - 1/C)^N (tight).",
        STATISTICAL, "ext", EXT, bounds.race_total_variation),
    Guarantee("R5", SAMPLER, "no effect of a constant",
        "Adding a constant c to f changes nothing up to rounding, abs(c)/beta <= 1e4; no overflow there.",
        EXACT, "-", NONE),
    Guarantee("R6", SAMPLER, "a sampler of a finite law has that law",
        "A sampler of a given finite law (any library's) has that law.",
        STATISTICAL, "standard", STANDARD),
    Guarantee("S1", SPANNER, "acceptance at norm above nu",
        "Every accepted pair had norm > nu under the Sigma before it, at most one per prompt round; in literal "
        "runs no pair tried before it in its round had (ties within 1e-9 relative are free).",
        EXACT, "FMR25", FMR25),
    Guarantee("S2", SPANNER, "Sigma is the ridge plus the accepted pairs",
        "Sigma = lambda I + sum v v^T, symmetric positive definite.",
        EXACT, "FMR25", FMR25),
    Guarantee("S3", SPANNER, "log determinant adds up",
        "log det Sigma - d log lambda = sum log(1 + ||v_i||^2_{Sigma_{i-1}^-1}).",
        EXACT, "standard", STANDARD),
    Guarantee("S4", SPANNER, "size",
        "K log(1+nu^2) <= d log(1 + 4K/(lambda d)): the size depends on d, lambda, nu only, not on T_span or "
        "T_prompt.",
        EXACT, "FMR25 form, recon constants", RECON, bounds.spanner_size_bound),
    Guarantee("S5", SPANNER, "what stays uncovered",
        "With probability >= 1-delta, at any stopping time: sum_t q_{Sigma_{t-1}} <= (K + log(1/delta))/(1 - 1/e), "
        "so T_prompt * q_{Sigma_span} is too. Tested by prod_t e^{-A_t}/(1 - (1-1/e) q_{t-1}), of mean exactly 1.",
        STATISTICAL, "recon; q exact on a table", RECON, bounds.uncovered_budget),
    Guarantee("S6", SPANNER, "policies stay where the spanner covers",
        "For every pi dominated by pi_ref with coverage <= C (also one that depends on y' with C(pi(.|x,y')) <= C "
        "for each y'): E_x P_{y~pi, y'~pi_ref}(uncovered) <= max(1, C/T_span) q_{Sigma_span}/(1 - 1/e).",
        EXACT, "recon", RECON, bounds.uncovered_probability),
    Guarantee("S7", SPANNER, "cost",
        "Phase 1 costs the answers handed out: 2 x the pairs tried when pairs are tried one by one, and 2K "
        "rewards.",
        EXACT, "FMR25", FMR25, bounds.spanner_cost),
    Guarantee("S8", SPANNER, "invariances",
        "Rotating features changes no acceptance (ties apart); phi -> c phi, lambda -> c^2 lambda neither; norms "
        "never grow as Sigma grows.",
        EXACT, "-", NONE),
    Guarantee("B1", SPANNERS, "approximate barycentric spanner",
        "b_1..b_r, members of the set, linearly independent, r its rank, are a C-approximate barycentric spanner: "
        "every vector of the set is sum c_i b_i (unique coefficients) with all abs(c_i) <= C.",
        EXACT, "Awerbuch & Kleinberg 2008", STANDARD),
    Guarantee("B2", SPANNERS, "no swap raises the volume",
        "Equivalently (Cramer) no single swap raises abs(det) by more than the factor C, with r x r determinants "
        "in an orthonormal basis of the span; greedy swapping ends for C > 1.",
        EXACT, "Awerbuch & Kleinberg 2008", STANDARD),
    Guarantee("B3", SPANNERS, "a chosen list covers to nu",
        "With Sigma = lambda I + sum b b^T, no vector of the set (chosen ones included) has norm above nu; judged "
        "only for code that promises it.",
        EXACT, "-", NONE),
    Guarantee("E1", EXPLORATION, "confidence ellipsoid",
        "Under bounded, fresh noise, with probability >= 1-delta, for all t: ||theta_t - theta*||_{Sigma_t} <= "
        "gamma_t = s_t/2 + sqrt(s_t^2/4 + 4 lambda B^2), s_t = sigma sqrt(2 log(1/delta) + log "
        "det(Sigma_t/lambda)), sigma = R_max/sqrt(2) (sqrt(2) tau for tau-sub-Gaussian rewards).",
        STATISTICAL, "recon; all t at once", RECON, gaps.confidence_radius, rare=True),
    Guarantee("E2", EXPLORATION, "truncated scores are accurate",
        "With f*(y) = <theta*, v(x,y,y')> 1_covered: nu max_t gamma_t <= beta/2 (same lambda) implies abs(f_t - f*) "
        "<= beta/2.",
        GIVEN, "FMR25 idea; recon constant", RECON, gaps.score_error, given="E1"),
    Guarantee("E3", EXPLORATION, "truncation keeps rejection sampling cheap",
        "Then, for y' with pi_ref(y'|x) > 0: C(pi_t | x, y') <= e C(pi*|x) / pi*(covered | x, y').",
        GIVEN, "FMR25 idea, recon constants", RECON, gaps.log_truncated_coverage, given="E2"),
    Guarantee("E4", EXPLORATION, "without truncation coverage explodes",
        "Without truncation C(pi_t | x, y') exceeds 0.9 exp(osc(f_t)/beta) on a witness with C(pi*) = 1 on which "
        "E1 holds.",
        EXACT, "recon", RECON, gaps.log_untruncated_coverage),
    Guarantee("E5", EXPLORATION, "gap of one round",
        "For y' in the support and u = pi*(uncovered|x,y') <= 1/2: beta KL(pi_t || pi*) <= e^{1/2}/(2 beta) "
        "E_{pi_t}[(f_t-f*)^2 1_covered] + R_max pi_t(uncovered) + 2 ln2 beta u (tight), and pi_t(uncovered) <= 2 "
        "e^{1/2} C(pi*|x) pi_ref(uncovered|x,y').",
        GIVEN, "recon", RECON, gaps.truncated_gap, given="E2"),
    Guarantee("E6", EXPLORATION, "the fit is optimal on the ball",
        "The fit obeys ||theta|| <= B and the KKT conditions (gradient = -mu theta, mu >= 0, mu (||theta|| - B) = "
        "0), also for rank-deficient data.",
        EXACT, "-", NONE),
    Guarantee("E7", EXPLORATION, "ridge regression solves its normal equations",
        "A ridge regression (any library's) solves its normal equations.",
        EXACT, "standard", STANDARD),
    Guarantee("T1", HEADLINE, "coverage is necessary",
        "On the needle family P(met) <= m/(|Y|-1) + n p and E pi_hat(y*) <= (m+1)/(|Y|-1) + n p for m rewards and "
        "n samples (those of one output included), while success needs E pi_hat(y*) >= (1-delta)(J* - eps). p = "
        "1/C for the weak oracle, for the strong one min{e/(C-1+e) + exp(-beta^2 d/2), exp(1/(2 beta^2 d))/(C-1)}. "
        "Learners that enumerate are outside it.",
        STATISTICAL, "FMR25 Thm 2.1; recon instance, last term ext", RECON, needle.needle_output_ceiling, rare=True),
    Guarantee("T2", HEADLINE, "SpannerSampling is efficient",
        "P(J(pi*) - J(pi_hat) > eps) <= delta; T_data = O~(R_max^2 d^2/(beta min(eps,beta))) free of C; T_comp = "
        "O~(C R_max^2/beta^2 * T_data^2). Slopes: T_comp in C in [.95, 1.05], T_data in C in [-.05, .05], T_data "
        "in d at most 2, (average gap / log T_exp) in T_exp in [-1.15, -.85].",
        (Kind.STATISTICAL, Kind.SCALING), "FMR25 Thm 3.1; recon parameters", FMR25, rare=True),
    Guarantee("T3", HEADLINE, "regret",
        "The cumulative gap of phase 2 grows like (d^2 R_max^2/beta) log^2 T, against sqrt(T) without the fast "
        "rate; for phase 1 set for the horizon, or after subtracting the exact uncovered term (which is linear in "
        "T).",
        SCALING, "FMR25 Thm 3.1", FMR25),
    Guarantee("T4", HEADLINE, "training-time interventions",
        "Under rETH no proper learner has both T_data and T_comp polynomial. Not testable: what is shown is the "
        "trade-off of OnlineDPO, XPO and exhaustive proper search against SpannerSampling on the Max-k-DNF family.",
        ILLUSTRATION, "FMR25 Thm 4.1; recon family", FMR25),
    Guarantee("T5", HEADLINE, "multi-turn",
        "On the tokens family (C_cond <= 2, C(pi*) = C_cond^H) MTSS' T_comp grows polynomially in H; "
        "sequence-level SpannerSampling's log2 slope in H, its known polynomial factor divided out, is in [.9, "
        "1.1] log2 C_cond.",
        SCALING, "FMR25 Thm 5.1; recon algorithm and family", FMR25, multi_turn.multi_turn_cost),
    Guarantee("T6", HEADLINE, "coverage is not needed for data",
        "In the full-table model elliptical enumeration reaches eps on the covered-needle family with T_data free "
        "of C, at T_enum ~ |Y| a round.",
        SCALING, "FMR25 abstract", FMR25),
)
# fmt: on

REGISTRY: Mapping[str, Guarantee] = MappingProxyType({entry.id: entry for entry in _GUARANTEES})
"""All guarantees by id, in the order of mathematics.md; read-only."""


def guarantee(name: str) -> Guarantee:
    """Return the guarantee with this id.

    Raises
    ------
    ArgumentError
        If there is none; the message names those there are.

    Examples
    --------
    >>> guarantee("S4").statement[:20]
    'K log(1+nu^2) <= d l'
    """
    if name not in REGISTRY:
        raise ArgumentError("the id of a guarantee", name, f"one of {', '.join(REGISTRY)}")
    return REGISTRY[name]
