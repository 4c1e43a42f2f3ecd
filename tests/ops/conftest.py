import pytest


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def ops(torch):
    from steadyview import ops

    return ops
