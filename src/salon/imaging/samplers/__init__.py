"""Numerical solvers of the probability flow, in numpy."""
