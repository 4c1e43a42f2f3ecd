"""Loads `steadyview._C` and registers its functions with torch.library."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

__all__ = ["load_extension", "register"]

_INSTALL_TORCH = "pip install torch==2.13.0, then build steadyview against it: make clean install"
_REBUILD = "make clean install (or: pip install --no-build-isolation --no-deps -e .)"


def load_extension() -> Any:
    """The module `steadyview._C`, checked to fit the running torch.

    Raises:
        ImportError: torch or the module is missing, or they do not fit; it names the command that
            helps.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(f"steadyview.ops needs torch: {_INSTALL_TORCH}") from error
    if importlib.util.find_spec("steadyview._C") is None:
        raise ImportError(f"steadyview was built without torch, _C is missing: {_REBUILD}")
    try:
        extension = importlib.import_module("steadyview._C")
    except ImportError as error:
        raise ImportError(
            f"steadyview._C does not load with torch {torch.__version__}; was it built for "
            f"another one? Build it again: {_REBUILD} ({error})"
        ) from error
    check_version(extension.torch_version, torch.__version__)
    return extension


def check_version(built: str, running: str) -> None:
    """Raises ImportError unless both have the same major and minor number."""
    if built.split(".")[:2] != running.split(".")[:2]:
        raise ImportError(
            f"steadyview._C was built for torch {built}, but torch {running} is running: {_REBUILD}"
        )


extension = load_extension()

import torch  # noqa: E402  only now: the error above comes first

_library = torch.library.Library("steadyview", "DEF")


def register(
    schema: str,
    implementation: Callable[..., Any],
    fake: Callable[..., Any],
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Any:
    """Makes a function of `_C` an operator of torch.

    Args:
        schema: as `name(Tensor image, ...) -> Tensor`.
        implementation: for CPU and CUDA tensors.
        fake: the result's shape, dtype and device, without data.
        setup_context, backward: as for `torch.library.register_autograd`. An operator that is
            called `*_backward` and has none raises where a second derivative is asked for.

    Returns:
        The operator `torch.ops.steadyview.<name>`.
    """
    name = schema.partition("(")[0]
    qualified = f"steadyview::{name}"
    _library.define(schema)
    for device in ("CPU", "CUDA"):
        _library.impl(name, implementation, device)
    torch.library.register_fake(qualified, fake, lib=_library)
    if backward is None and name.endswith("_backward"):
        setup_context, backward = None, _once_only(name.removesuffix("_backward"))
    if backward is not None:
        torch.library.register_autograd(
            qualified, backward, setup_context=setup_context, lib=_library
        )
    return getattr(torch.ops.steadyview, name).default


def _once_only(name: str) -> Callable[..., Any]:
    def refuse(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(f"steadyview's {name} is not differentiable twice")

    return refuse
