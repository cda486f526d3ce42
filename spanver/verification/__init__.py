"""Verification of a subject: the search for counterexamples, experiments, the pytest plugin, verdicts, the zoo."""
