"""Properties of the guarantees, run with `pytest --pyargs spanver.properties`.

Each property is marked with the ids of the guarantees that it checks, and searches instances with Hypothesis.
"""
