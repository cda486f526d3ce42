"""Oracles of the problems: literal (draws everything), counted (exact, at a cost free of coverage), text, prefix.

All meter with the same ledger, budget and randomness. They differ in how queries that stand for many draws are answered
(mathematics.md, section 2).
"""

from spanver.oracles.counted import counted_oracle
from spanver.oracles.literal import literal_oracle
from spanver.oracles.prefix import prefix_oracle
from spanver.oracles.text import text_oracle

__all__ = ["counted_oracle", "literal_oracle", "prefix_oracle", "text_oracle"]
