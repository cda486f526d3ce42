"""A run and its record, of every learner: settings, plan, execution, evaluation, archive, certificate and report."""
