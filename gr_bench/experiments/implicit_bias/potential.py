"""Theory's prediction: the interpolant of least potential, and the ends of the way between.

    φ_α(β) = Σ α²·q(β/α²),    q(z) = 2 - √(4 + z²) + z·arcsinh(z/2)

For α -> ∞ its minimiser under Xβ = y is that of the L2 norm (the kernel regime), for α -> 0 that of
the L1 norm (the rich regime).

Source: Woodworth et al., COLT 2020 (arXiv 2002.09277).
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from gr_bench.experiments.implicit_bias.problem import Array

TOLERANCE = 1e-10
"""‖Xβ - y‖/‖y‖ at which the convex problem counts as solved."""


def potential(beta: Array, alpha: Array) -> float:
    """φ_α(β).

    Args:
        beta: (d,).
        alpha: > 0, (d,) or ().
    """
    z = beta / alpha**2
    return float(np.sum(alpha**2 * (2 - np.sqrt(4 + z**2) + z * np.arcsinh(z / 2))))


def least_potential(inputs: Array, targets: Array, alpha: Array) -> Array:
    """argmin φ_α(β) subject to Xβ = y, from the dual problem, which has no constraint.

    The gradient of φ_α is arcsinh(β/2α²). At the minimum it is Xᵀν, so β = 2α²·sinh(Xᵀν), where ν
    maximises <y, ν> - Σ 2α²·(cosh(Xᵀν) - 1): a smooth, strictly concave function of N variables.

    Args:
        inputs: X, (N, d), of rank N.
        targets: y, (N,).
        alpha: > 0, (d,).

    Returns:
        β, (d,).

    Raises:
        RuntimeError: no solution to :data:`TOLERANCE` was found.
    """
    weight, size = 2 * alpha**2, float(np.linalg.norm(targets))

    def dual(nu: Array) -> float:
        return float(weight @ (np.cosh(nu @ inputs) - 1) - targets @ nu)

    def gradient(nu: Array) -> Array:
        beyond: Array = inputs @ (weight * np.sinh(nu @ inputs)) - targets
        return beyond

    def hessian(nu: Array) -> Array:
        curved: Array = (inputs * (weight * np.cosh(nu @ inputs))) @ inputs.T
        return curved

    with np.errstate(over="ignore", invalid="ignore"):
        found = optimize.minimize(
            dual,
            np.zeros(len(targets)),
            jac=gradient,
            hess=hessian,
            method="trust-exact",
            options={"gtol": TOLERANCE * size, "maxiter": 1000},
        )
        nu: Array = found.x
        for _ in range(3):  # the trust region stops where the dual's value no longer changes
            nu = nu - np.linalg.solve(hessian(nu), gradient(nu))
        off = float(np.linalg.norm(gradient(nu)))
    if not off <= TOLERANCE * size:
        raise RuntimeError(f"least potential: ‖Xβ - y‖/‖y‖ = {off / size:.1e} at the end")
    beta: Array = weight * np.sinh(nu @ inputs)
    return beta


def optimality_residual(inputs: Array, beta: Array, alpha: Array) -> float:
    """The distance of ∇φ_α(β) from the row space of X, where theory has it, over its length.

    Args:
        inputs: X, (N, d).
        beta: (d,).
        alpha: > 0, (d,).
    """
    slope = np.arcsinh(beta / (2 * alpha**2))
    basis, _ = np.linalg.qr(inputs.T)
    outside = slope - basis @ (basis.T @ slope)
    return float(np.linalg.norm(outside) / np.linalg.norm(slope))


def least_l2(inputs: Array, targets: Array) -> Array:
    """argmin ‖β‖₂ subject to Xβ = y, (d,)."""
    beta: Array = np.linalg.pinv(inputs) @ targets
    return beta


def least_l1(inputs: Array, targets: Array) -> Array:
    """argmin ‖β‖₁ subject to Xβ = y, (d,): basis pursuit, as a linear programme.

    Raises:
        RuntimeError: the solver gave up.
    """
    features = inputs.shape[1]
    found = optimize.linprog(
        np.ones(2 * features), A_eq=np.hstack([inputs, -inputs]), b_eq=targets, method="highs"
    )
    if not found.success:
        raise RuntimeError(f"least L1 norm: {found.message}")
    beta: Array = found.x[:features] - found.x[features:]
    return beta
