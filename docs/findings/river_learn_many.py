"""River's `BayesianLinearRegression` fits another model in `learn_many` than in `learn_one`, unless `alpha` is 1.

Uses `river`, `pandas` and NumPy alone. Prints the posterior means beside the exact ones and exits 1 if they differ by
more than 1e-6 (the violation is reproduced), 0 if not, and 2 if a library is not installed.
"""

import sys

import numpy as np

ALPHA = 4.0


def main():
    """Fit one observation, `x = 1` and `y = 1`, both ways."""
    try:
        import pandas as pd  # noqa: PLC0415 (so that its absence is an exit code)
        from river.linear_model import BayesianLinearRegression  # noqa: PLC0415 (likewise)
    except ImportError as error:
        print(error)  # noqa: T201 (a script)
        return 2
    one = BayesianLinearRegression(alpha=ALPHA, beta=1)
    one.learn_one({"x": 1.0}, 1.0)
    many = BayesianLinearRegression(alpha=ALPHA, beta=1)
    many.learn_many(pd.DataFrame({"x": [1.0]}), pd.Series([1.0]))
    means = [model.predict_one({"x": 1.0}) for model in (one, many)]
    exact = 1.0 / (1.0 + ALPHA)
    print(f"alpha {ALPHA}, one observation x = 1, y = 1: posterior mean {exact} = 1/(1 + alpha)")  # noqa: T201
    print(f"learn_one  {means[0]:.12g}")  # noqa: T201
    print(f"learn_many {means[1]:.12g}   1/(1 + 1/alpha) is {1.0 / (1.0 + 1.0 / ALPHA)}")  # noqa: T201
    return int(bool(np.max(np.abs(np.array(means) - exact)) > 1e-6))


if __name__ == "__main__":
    sys.exit(main())
