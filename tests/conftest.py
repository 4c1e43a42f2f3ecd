"""Skips what cannot run here, tests marked needs_torch or needs_cuda; torch where one asks."""

import importlib.util
import os

import pytest


def _missing_torch() -> str:
    for module in ("torch", "steadyview._C"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is missing"
    return ""


def _missing_cuda() -> str:
    if reason := _missing_torch():
        return reason
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


def pytest_runtest_setup(item):
    if item.get_closest_marker("needs_cuda") and (reason := _missing_cuda()):
        if os.environ.get("STEADYVIEW_REQUIRE_CUDA") == "1":
            pytest.fail(f"STEADYVIEW_REQUIRE_CUDA=1, but {reason}")
        pytest.skip(reason)
    if item.get_closest_marker("needs_torch") and (reason := _missing_torch()):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def ops(torch):
    from steadyview import ops

    return ops
