"""Problem families, one a file: a function of a seed and of the family's parameters."""
