"""What tests of PyTorch's models have in common at their heads."""

import os

import pytest

MARKS = [
    pytest.mark.torch,
    # of the libraries, about themselves and about what the tests build
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def diffusers(*more: str) -> None:
    """Skip the module where the extra is not installed and need not be."""
    if os.environ.get("SALON_REQUIRE_ENGINES") != "1":
        for package in ("torch", "diffusers", "transformers", *more):
            pytest.importorskip(package, reason=f"needs {package}: salon[diffusers]")
