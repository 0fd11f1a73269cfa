"""Regressions on the standardised features of training images, and the strengths of regularisation that are tried."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # scikit-learn's C, on standardised features, from small to large
# A larger C is no longer tried once the log loss is this many times the smallest one: it only rises from there, and the
# regressions with a large C take the longest
TOO_LARGE = 1.05


@dataclass(frozen=True)
class FeatureSpace:
    """Standardised features of training rows; where these are fewer than the features, in the space that they span.

    A ridge-penalised regression has its weights in the span of its rows, so that nothing is lost and a regression on
    200 images with 3,000 features costs a tenth.

    Attributes:
        basis: (dimensions, n_features), orthonormal rows; None where the features are few.
        rows: (n_rows, dimensions or n_features).
    """

    scaler: StandardScaler
    basis: NDArray[np.float64] | None
    rows: NDArray[np.float64]

    @classmethod
    def of(cls, inputs: NDArray[np.float32]) -> "FeatureSpace":
        """Standardise features (n_images, n_transforms, n_features)."""
        flat = inputs.reshape(-1, inputs.shape[2]).astype(np.float64)
        scaler = StandardScaler().fit(flat)
        scaler.scale_ = np.maximum(scaler.scale_, 1e-6)  # a constant feature must not be scaled up
        rows = scaler.transform(flat)
        if len(rows) >= rows.shape[1]:
            return cls(scaler, None, rows)
        left, sizes, basis = _svd(rows)
        return cls(scaler, basis, left * sizes)

    def rows_of(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Bring features (n_images, n_features) into the space."""
        standardised: NDArray[np.float64] = self.scaler.transform(inputs)
        return standardised if self.basis is None else standardised @ self.basis.T

    def regression(
        self, labels: NDArray[np.int64], strength: float, start: LogisticRegression | None = None
    ) -> LogisticRegression:
        """Fit a regression of the rows' labels (n_rows,), from the coefficients of another one if there is one."""
        model = start or LogisticRegression(max_iter=2000, warm_start=True)
        return model.set_params(C=strength).fit(self.rows, labels)

    def unstandardised(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights (n_outputs, dimensions) of rows as weights (n_outputs, n_features) of features."""
        of_features: NDArray[np.float64] = weights if self.basis is None else weights @ self.basis
        return np.asarray(of_features / self.scaler.scale_)


def _svd(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Decompose rows. LAPACK's gesdd does not converge on some matrices with equal rows; its gesvd, slower, does."""
    try:
        found: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] = linalg.svd(
            rows, full_matrices=False
        )
    except linalg.LinAlgError:
        found = linalg.svd(rows, full_matrices=False, lapack_driver="gesvd")
    return found
