"""What can be verified: the reference, Python objects, programs behind a pipe, and libraries of others.

Each of them is a `Subject`: a name, and some of the functions of `spanver.subjects.contract`.
"""
