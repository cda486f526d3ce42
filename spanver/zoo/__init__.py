"""The zoo: implementations with one planted bug each, which the properties must kill, and correct controls."""
