"""Verification of a subject: the search for counterexamples, the experiments, the pytest plugin, and verdicts."""
