"""The value of a Max-k-DNF formula by a MaxSAT solver, for more variables than all assignments can be tried of.

The solver is RC2 of python-sat (Ignatiev, Morgado and Marques-Silva 2019), which the extra `maxsat` installs.
"""

from __future__ import annotations

import numpy as np

from spanver.errors import MissingExtraError
from spanver.problems.formulas import Formula
from spanver.values import IntArray


def best_assignment(formula: Formula) -> IntArray:
    """Return the first assignment, in lexicographic order, that satisfies most clauses: that of an exhaustive search.

    A clause has a variable of its own that implies all its literals, and as many of these are to be true as possible.
    Once the value is known, one variable after another is set to true where that loses no clause. So the result does
    not depend on the solver, at the cost of up to `n + 1` solutions.

    Returns
    -------
    array of int, shape (n,)

    Raises
    ------
    MissingExtraError
        Without python-sat.
    """
    model, least = _solved(formula, [])
    fixed: list[int] = []
    for variable in range(1, formula.variables + 1):
        if model[variable - 1] < 0:
            other, lost = _solved(formula, [*fixed, variable])
            if lost == least:
                model = other
        fixed.append(variable * int(model[variable - 1]))
    return model


def _solved(formula: Formula, fixed: list[int]) -> tuple[IntArray, int]:
    """An assignment that satisfies most clauses given some literals, and how many clauses it does not satisfy."""
    try:
        from pysat.examples.rc2 import RC2  # noqa: PLC0415 (optional)
        from pysat.formula import WCNF  # noqa: PLC0415 (likewise)
    except ImportError:
        raise MissingExtraError("the value of a formula of many variables", "python-sat", "maxsat") from None
    cnf = WCNF()
    for literal in fixed:
        cnf.append([literal])
    for index, clause in enumerate(formula.clauses, start=formula.variables + 1):
        for literal in sorted(set(clause)):
            cnf.append([-index, literal])
        cnf.append([index], weight=1)
    with RC2(cnf) as solver:
        model = {abs(literal): literal for literal in solver.compute()}
        # A variable that stands in no clause is in no model.
        signs = [np.sign(model.get(variable, 1)) for variable in range(1, formula.variables + 1)]
        return np.array(signs, dtype=np.intp), int(solver.cost)
