"""What is exact on a finite problem: distributions of policies and samplers, coverage, divergence, objective, gap."""
