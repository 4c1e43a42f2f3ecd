"""Skips what cannot run here, tests marked needs_torch or needs_cuda; torch where one asks."""

import importlib.util
import os
import sys

import pytest


def _take_extension(path: str) -> None:
    """Tests another build of the tensor module (`make cpp-test`)."""
    import torch  # noqa: F401  its libraries are what the module links to

    spec = importlib.util.spec_from_file_location("steadyview._C", path)
    if not spec or not spec.loader:
        raise ImportError(f"not an extension module: {path}")
    module = sys.modules["steadyview._C"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


if extension := os.environ.get("STEADYVIEW_TEST_EXTENSION"):
    _take_extension(extension)


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
