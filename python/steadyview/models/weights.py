"""Weights from files that the user brings: PyTorch state dicts, safetensors, TorchScript archives.

Nothing is downloaded, and no pickled code is run: state dicts are read with `weights_only`.
"""

from __future__ import annotations

import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError

__all__ = ["State", "default_device", "load_script", "read_state", "take"]

State = dict[str, torch.Tensor]

_SAFETENSORS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read_state(
    files: Sequence[str | os.PathLike[str]], wanted: Callable[[str], bool] = lambda name: True
) -> State:
    """The tensors of one or more files together, by name, floating ones as float32.

    Args:
        files: state dicts (`.pth`, `.pt`, `.bin`), `.safetensors`, or TorchScript archives.
        wanted: tells by its name whether a tensor is kept.

    Raises:
        InputError: a file is missing, is none of these, or holds no tensor that is wanted.
    """
    state: State = {}
    for file in files:
        path = _existing(file)
        found = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in _tensors(path, wanted).items()
        }
        if not found:
            raise InputError(f"{path}: holds none of the weights that are needed")
        state |= found
    return state


def load_script(file: str | os.PathLike[str], device: torch.device) -> Any:
    """A TorchScript module, ready to be called.

    Raises:
        InputError: the file is missing or is no TorchScript archive.
    """
    path = _existing(file)
    if not _is_script(path):
        raise InputError(f"{path}: is no TorchScript file (made by torch.jit.save)")
    try:
        with warnings.catch_warnings():
            # torch calls TorchScript old; these networks are published in nothing else.
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:  # a damaged archive raises anything
        raise InputError(f"{path}: TorchScript that cannot be loaded: {_first(error)}") from error


def take(state: Mapping[str, torch.Tensor], name: str, shape: tuple[int, ...], what: str) -> Any:
    """One tensor, checked.

    Args:
        state: from `read_state`.
        name: of the tensor.
        shape: what it must be; -1 for any size.
        what: whose weights these are, for the message.

    Raises:
        InputError: it is missing or of another shape.
    """
    tensor = state.get(name)
    if tensor is None:
        raise InputError(f"{what}: the weights lack {name!r}; {_some_names(state)}")
    got = tuple(tensor.shape)
    if len(got) != len(shape) or any(w not in (-1, g) for g, w in zip(got, shape, strict=True)):
        wanted = "x".join("any" if size < 0 else str(size) for size in shape)
        raise InputError(
            f"{what}: {name!r} must be of shape {wanted}, got {'x'.join(map(str, got)) or 'scalar'}"
        )
    return tensor


def _some_names(state: Mapping[str, torch.Tensor]) -> str:
    names = sorted(state)
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"they hold {', '.join(names[:4]) or 'nothing'}{more}"


def _existing(file: str | os.PathLike[str]) -> Path:
    path = Path(file)
    try:
        there = path.is_file()
    except OSError as error:
        raise InputError(f"weights: {path} cannot be read ({error.strerror})") from error
    if not there:
        raise InputError(f"weights: no such file: {path}")
    return path


def _is_script(path: Path) -> bool:
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is a damaged zip archive: {_first(error)}") from error


def _tensors(path: Path, wanted: Callable[[str], bool]) -> State:
    if path.suffix == ".safetensors":
        return _read_safetensors(path, wanted)
    if _is_script(path):
        holder: Any = load_script(path, torch.device("cpu")).state_dict()
    else:
        try:
            holder = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle raises anything
            raise InputError(f"{path}: is no state dict of PyTorch: {_first(error)}") from error
    if isinstance(holder, Mapping):
        for key in ("state_dict", "model"):  # training checkpoints hold it under such a name
            if isinstance(holder.get(key), Mapping):
                holder = holder[key]
    if not isinstance(holder, Mapping):
        raise InputError(f"{path}: holds a {type(holder).__name__}, not a state dict of PyTorch")
    named = {str(name).removeprefix("module."): tensor for name, tensor in holder.items()}
    return {n: t for n, t in named.items() if isinstance(t, torch.Tensor) and wanted(n)}


def _read_safetensors(path: Path, wanted: Callable[[str], bool]) -> State:
    """The format: 8 bytes with the header's length, a JSON header, the tensors' bytes."""
    state: State = {}
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            room = path.stat().st_size - 8 - length
            if room < 0:
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
            if not isinstance(header, dict):
                raise ValueError("its header is no object")
            header.pop("__metadata__", None)
            _check_places(header, room)
            for name, entry in header.items():
                if wanted(name):
                    first, last = entry["data_offsets"]
                    file.seek(8 + length + first)
                    state[name] = _tensor(name, entry, file.read(last - first))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: is no safetensors file: {_first(error)}") from error
    return state


def _check_places(header: dict[str, Any], room: int) -> None:
    """Each tensor has bytes of its own within the file."""
    places = []
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        if type(first) is not int or type(last) is not int or not 0 <= first <= last <= room:
            raise ValueError(f"{name!r} lies at {first} to {last} of {room} bytes")
        places.append((first, last, name))
    end = 0
    for first, last, name in sorted(places):
        if first < end:
            raise ValueError(f"{name!r} overlaps another tensor")
        end = last


def _tensor(name: str, entry: dict[str, Any], data: bytes) -> torch.Tensor:
    shape, kind = entry["shape"], _SAFETENSORS[entry["dtype"]]
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{name!r} has the shape {shape}")
    if math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"{name!r} of shape {shape} does not take {len(data)} bytes")
    if not data:
        return torch.zeros(shape, dtype=kind)
    return torch.frombuffer(bytearray(data), dtype=kind).reshape(shape)


def _first(error: BaseException) -> str:
    """The first line of an error's text; PyTorch's run to pages."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
