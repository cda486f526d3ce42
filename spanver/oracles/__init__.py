"""Oracles of the problems: literal (draws everything), counted (exact, at a cost free of coverage), text, prefix.

All meter with the same ledger, budget and randomness. They differ in how queries that stand for many draws are answered
(mathematics.md, section 2).
"""
