"""asv: kernels by dimension."""

from __future__ import annotations

import numpy as np

from benchmarks import workloads
from spanver.kernels import (
    elliptic_norms,
    fit_moments,
    inverse_factor,
    precision_norms,
    uncertain_mask,
    update_inverse_factor,
)


class Kernels:
    params = (8, 32, 128)
    param_names = ("dimension",)

    def setup(self, dimension):
        self.vectors = workloads.vectors(4096, dimension)
        self.sigma = workloads.sigma(dimension)
        self.precision = np.linalg.inv(self.sigma)
        self.factor = inverse_factor(self.sigma)
        self.moment = self.sigma @ np.ones(dimension)

    def time_elliptic_norms(self, dimension):
        elliptic_norms(self.vectors, self.sigma)

    def time_precision_norms(self, dimension):
        precision_norms(self.vectors, self.precision)

    def time_uncertain_mask(self, dimension):
        uncertain_mask(self.vectors[:512], self.vectors[:512], self.precision, 0.3)

    def time_update_inverse_factor(self, dimension):
        update_inverse_factor(self.factor, self.vectors[0])

    def time_refactoring(self, dimension):
        """The cost that the update avoids."""
        inverse_factor(self.sigma + np.outer(self.vectors[0], self.vectors[0]))

    def time_fit_inside_the_ball(self, dimension):
        fit_moments(self.sigma, self.moment, 10.0 * dimension)

    def time_fit_on_the_sphere(self, dimension):
        fit_moments(self.sigma, self.moment, 0.5)
