# The public names, and where each is defined: read by type checkers, and at run time by `spanver/__init__.py`.
from . import evidence as evidence
from . import strategies as strategies
from .exact.tabular import gap as gap
from .exact.tabular import log_law as log_law
from .exact.tokens import log_token_law as log_token_law
from .exact.tokens import token_gap as token_gap
from .guarantees import REGISTRY as REGISTRY
from .learners.best_of_n import best_of_n as best_of_n
from .learners.elliptical_enumeration import elliptical_enumeration as elliptical_enumeration
from .learners.multi_turn import MultiTurnSettings as MultiTurnSettings
from .learners.multi_turn import multi_turn as multi_turn
from .learners.online_dpo import online_dpo as online_dpo
from .learners.passive import passive_learner as passive_learner
from .learners.spanner_sampling import Settings as Settings
from .learners.spanner_sampling import spanner_sampling as spanner_sampling
from .learners.xpo import xpo as xpo
from .oracle import Budget as Budget
from .oracles.counted import counted_oracle as counted_oracle
from .oracles.literal import literal_oracle as literal_oracle
from .oracles.prefix import prefix_oracle as prefix_oracle
from .oracles.text import text_oracle as text_oracle
from .problems.families.covered_needle import covered_needle_problem as covered_needle_problem
from .problems.families.max_k_dnf import max_k_dnf_problem as max_k_dnf_problem
from .problems.families.needle import needle_problem as needle_problem
from .problems.families.random_tables import random_problem as random_problem
from .problems.families.text import text_problem as text_problem
from .problems.families.tokens import token_problem as token_problem
from .problems.tabular import TabularProblem as TabularProblem
from .runs.settings import derived_settings as derived_settings
from .runs.settings import paper_settings as paper_settings
from .runs.settings import settings_for as settings_for
from .subjects.contract import Subject as Subject
from .verification.request import Request as Request
from .verification.runner import verify as verify

__version__: str
