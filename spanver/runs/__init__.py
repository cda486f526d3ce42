"""A run and its record: settings, plan, execution, evaluation, archive, certificate, report."""
