"""Vowpal Wabbit's large action space returns no 2-approximate barycentric spanner at `--spanner_c 2`.

Uses `vowpalwabbit` and NumPy alone. Prints, per set of actions, the members that were kept and the largest coefficient
that writing the set in them takes, and exits 1 if any is above 2 (the violation is reproduced), 0 if none is, and 2 if
`vowpalwabbit` is not installed.
"""

import sys

import numpy as np

FRESH = [[0, 0, 0, 0.2], [0, 0, 0.6, 0], [0, -0.2, 0.1, 0], [0.2, 0, 0.5, 0], [0.4, 0.1, 0.4, 0]]
AGAIN = [[1, 0.2], [0.2, 1], [0.3, 0.3]]
ALONE = [[0, 0], [0.1, 0.2], [0.2, 0.1]]


def kept(vw, actions, calls):
    """Return the actions with positive probability at the last of so many identical calls, a featureless one apart."""
    rank = np.linalg.matrix_rank(np.array(actions, dtype=float))
    workspace = vw.Workspace(
        "--cb_explore_adf --large_action_space --epsilon 1.0 --noconstant --quiet --thread_pool_size 0 "
        f"--max_actions {rank} --spanner_c 2"
    )
    question = ["|"] + ["| " + " ".join(f"f{j}:{x}" for j, x in enumerate(row) if x) for row in actions]
    for _ in range(calls):
        probabilities = workspace.predict(question)
    workspace.finish()
    return [i for i, probability in enumerate(probabilities[1:]) if probability > 0]


def coefficient(actions, chosen):
    """Return the largest absolute coefficient, infinity where the chosen do not form a basis."""
    actions = np.array(actions, dtype=float)
    basis, rank = actions[chosen], np.linalg.matrix_rank(actions)
    if len(chosen) != rank or np.linalg.matrix_rank(basis) != rank:
        return np.inf
    return np.abs(np.linalg.lstsq(basis.T, actions.T, rcond=None)[0]).max()


def main():
    """Run the three cases."""
    try:
        import vowpalwabbit as vw  # noqa: PLC0415 (so that its absence is an exit code)
    except ImportError:
        print("vowpalwabbit is not installed")  # noqa: T201 (a script)
        return 2
    worst = 0.0
    for name, actions, calls in (
        ("fresh workspace", FRESH, 1),
        ("first call", AGAIN, 1),
        ("second identical call", AGAIN, 2),
        ("first call", ALONE, 1),
        ("second identical call", ALONE, 2),
    ):
        chosen = kept(vw, actions, calls)
        found = coefficient(actions, chosen)
        worst = max(worst, found)
        print(f"{name:22} actions {actions}: kept {chosen}, largest coefficient {found:.6g} (limit 2)")  # noqa: T201
    return int(worst > 2.001)


if __name__ == "__main__":
    sys.exit(main())
