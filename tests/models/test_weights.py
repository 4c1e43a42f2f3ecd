"""Weights from files that are damaged or made to harm."""

import contextlib
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from reference.networks import TinyDover, save_safetensors, save_script  # noqa: E402
from steadyview.errors import InputError  # noqa: E402
from steadyview.models.weights import load_script, read_state  # noqa: E402


def write(path: Path, header: object, data: bytes = bytes(16)) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(first: object = 0, last: object = 16, shape: object = (4,), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def test_safetensors(tmp_path: Path) -> None:
    state = {"a": torch.rand(3, 2), "b": torch.rand(()).half(), "none": torch.zeros(0, 3)}
    save_safetensors(state, tmp_path / "a.safetensors")
    found = read_state([tmp_path / "a.safetensors"])
    assert set(found) == set(state)
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor.float())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry(-16, 0)}, "lies at -16 to 0"),
        ({"a": entry(0, 10**30)}, "of 16 bytes"),
        ({"a": entry(16, 0)}, "lies at 16 to 0"),
        ({"a": entry(0.0, 16.0)}, "lies at"),
        ({"a": entry(False, 16)}, "lies at"),
        ({f"a{i}": entry() for i in range(10_000)}, "overlaps"),
        ({"a": entry(0, 12, [3]), "b": entry(8, 16, [2])}, "overlaps"),
        ({"a": entry(shape=[5])}, "does not take 16 bytes"),
        ({"a": entry(shape=[-2, -2])}, "has the shape"),
        ({"a": entry(shape=[2**40, 2**40])}, "does not take"),
        ({"a": entry(dtype="F128")}, "F128"),
        ({"a": {}}, "data_offsets"),
        ({"a": 3}, "not subscriptable"),
        ([1, 2], "no object"),
    ],
)
def test_safetensors_that_lie(tmp_path: Path, header: object, message: str) -> None:
    path = write(tmp_path / "a.safetensors", header)
    with pytest.raises(InputError, match=rf"a\.safetensors: is no safetensors.*{message}"):
        read_state([path])


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x04" + bytes(7) + b"[[[", b"[" * 100_000])
def test_safetensors_without_a_header(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.safetensors"
    for start in (b"", len(data).to_bytes(8, "little")):
        path.write_bytes(start + data)
        with pytest.raises(InputError, match="safetensors"):
            read_state([path])


@pytest.mark.parametrize("name", ["script", "state", "old"])
def test_files_with_bytes_that_are_wrong_or_missing(tmp_path: Path, name: str) -> None:
    save_script(TinyDover(), tmp_path / "script.pt")
    torch.save({"weight": torch.rand(9)}, tmp_path / "state.pt")
    torch.save({"weight": torch.rand(9)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    draw = np.random.default_rng(0)
    whole, broken = (tmp_path / f"{name}.pt").read_bytes(), tmp_path / "broken.pt"
    for length in draw.integers(0, len(whole), 12):
        broken.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"broken\.pt"):
            read_state([broken])
        with pytest.raises(InputError, match=r"broken\.pt"):
            load_script(broken, torch.device("cpu"))
    for _ in range(40 if name != "script" else 0):  # PyTorch itself may crash on broken code
        data = bytearray(whole)
        for place in draw.integers(0, len(data), 8):
            data[place] = draw.integers(256)
        broken.write_bytes(data)
        with contextlib.suppress(InputError):  # no other error
            read_state([broken])


def test_archives_that_are_none(tmp_path: Path) -> None:
    torch.save({"weight": torch.rand(9)}, tmp_path / "state.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("x/code/y", "nothing")
    with pytest.raises(InputError, match=r"other\.pt"):
        read_state([tmp_path / "other.pt"])
    whole = (tmp_path / "state.pt").read_bytes()
    many = struct.pack("<4sIQI", b"PK\x06\x07", 1, 0, 2)  # says that there are two disks
    (tmp_path / "disks.pt").write_bytes(whole[:-42] + many + whole[-22:])
    with pytest.raises(InputError, match="damaged zip"):
        read_state([tmp_path / "disks.pt"])
    data = bytearray(whole)
    data[data.rindex(b"PK\x01\x02")] = 0  # a directory that is none
    (tmp_path / "zip.pt").write_bytes(data)
    with pytest.raises(InputError, match="damaged zip"):
        read_state([tmp_path / "zip.pt"])


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_state([tmp_path / ("a" * 300)])
    with pytest.raises(InputError, match="no such file"):
        read_state([tmp_path])
