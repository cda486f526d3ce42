"""An independent implementation of the whole contract, written from the documentation alone.

It knows the vocabulary of the contract (`spanver.values`, `spanver.oracle`, `spanver.errors`) and shares no arithmetic
with the reference: an import contract says so. Unmutated it is a control, as right as the reference, and so are the
variants of it in `variants.py`. The mutants in `mutants.py` are patches of it. Steps in which these differ are
keyword arguments.
"""
