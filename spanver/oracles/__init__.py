"""Oracles over the problems: literal (draws everything), counted (exact in law, cost free of coverage), text, prefix.

All are the same door with the same ledger, budget and randomness; they differ in how draws that a learner only counts
are answered (mathematics.md, section 2).
"""

from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.prefix import prefix_oracle
from spanver.oracles.text import text_oracle

__all__ = ["counted_oracle", "literal_oracle", "prefix_oracle", "text_oracle"]
