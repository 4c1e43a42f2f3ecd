"""Files of Gaussians: round trips, other writers' layouts, and what is broken."""

import gzip
import math
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import plyfile
import pytest
from gaussian_sets import any_columns, assert_same, columns, rotations
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyview.errors import InputError, OutputError
from steadyview.scene.columns import Columns
from steadyview.scene.formats import read_columns, write_columns

C0 = 0.28209479177387814


@given(any_columns())
@settings(max_examples=30, deadline=None)
def test_ply_keeps_every_number(values: Columns) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ply"
        write_columns(path, values)
        assert_same(read_columns(path), values)


def test_ply_has_the_usual_layout(tmp_path: Path) -> None:
    """The property names, their order and their meaning, as in the files of the 3DGS code."""
    values = columns(degree=1)
    write_columns(tmp_path / "a.ply", values)
    vertex = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"].data
    rest = [f"f_rest_{i}" for i in range(9)]
    assert list(vertex.dtype.names) == [
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity",
        "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
    ]  # fmt: skip
    assert {vertex.dtype.fields[name][0].str for name in vertex.dtype.names} == {"<f4"}
    np.testing.assert_array_equal(vertex["f_rest_4"], values.harmonics[:, 2, 1])  # green, second
    np.testing.assert_array_equal(vertex["rot_0"], values.quaternions[:, 0])
    np.testing.assert_array_equal(vertex["f_dc_2"], values.harmonics[:, 0, 2])


@pytest.mark.parametrize(("text", "order"), [(True, "="), (False, ">")])
def test_ply_in_any_encoding_order_and_type(tmp_path: Path, text: bool, order: str) -> None:
    values = columns(degree=2)
    write_columns(tmp_path / "a.ply", values)
    data = plyfile.PlyData.read(tmp_path / "a.ply")
    rows = data["vertex"].data
    kinds = [(name, "f8") for name in reversed(rows.dtype.names)] + [("confidence", "i4")]
    mixed = np.zeros(len(rows), kinds)
    for name in rows.dtype.names:
        mixed[name] = rows[name]
    element = plyfile.PlyElement.describe(mixed, "vertex")
    plyfile.PlyData([element], text=text, byte_order=order).write(tmp_path / "b.ply")
    assert_same(read_columns(tmp_path / "b.ply"), values)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (["rot_3", "scale_2"], "scale_2, rot_3"),
        (["f_rest_8"], "8 f_rest properties"),
        (["f_rest_0"], "8 f_rest properties"),
        (["f_dc_0", "f_dc_1", "f_dc_2", "opacity"], "point cloud"),
    ],
)
def test_missing_properties_are_named(tmp_path: Path, drop: list[str], message: str) -> None:
    write_columns(tmp_path / "a.ply", columns(degree=1))
    rows = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"].data
    kept = [name for name in rows.dtype.names if name not in drop]
    part = np.zeros(len(rows), [(name, "f4") for name in kept])
    plyfile.PlyData([plyfile.PlyElement.describe(part, "vertex")]).write(tmp_path / "b.ply")
    with pytest.raises(InputError, match=f"b.ply.*{message}"):
        read_columns(tmp_path / "b.ply")


def packed_ply(path: Path, count: int, harmonics: int = 0, colors: bool = True) -> dict:
    """A compressed PLY whose bits are drawn at random, and the bits."""
    draw = np.random.default_rng(3)
    bounds = ["x", "y", "z", "scale_x", "scale_y", "scale_z", *("rgb" if colors else "")]
    chunks = np.zeros(
        -(-count // 256), [(f"{m}_{b}", "f4") for m in ("min", "max") for b in bounds]
    )
    for name in chunks.dtype.names:
        chunks[name] = draw.uniform(-1, 0, len(chunks)) + name.startswith("max")
    names = [f"packed_{part}" for part in ("position", "rotation", "scale", "color")]
    vertex = np.zeros(count, [(name, "u4") for name in names])
    for name in names:
        vertex[name] = draw.integers(0, 2**32, count)
    elements = {"chunk": chunks, "vertex": vertex}
    if harmonics:
        elements["sh"] = np.zeros(count, [(f"f_rest_{i}", "u1") for i in range(harmonics)])
        for i in range(harmonics):
            elements["sh"][f"f_rest_{i}"] = draw.integers(0, 256, count)
    described = [plyfile.PlyElement.describe(rows, name) for name, rows in elements.items()]
    plyfile.PlyData(described).write(path)
    return elements


def unpacked_slowly(elements: dict, i: int) -> tuple:
    """One Gaussian, with strings of bits."""
    row, chunk = elements["vertex"][i], elements["chunk"][i // 256]
    bits = {name: f"{int(row[name]):032b}" for name in row.dtype.names}

    def mix(name, part):
        return chunk[f"min_{name}"] * (1 - part) + chunk[f"max_{name}"] * part

    def three(text, names):
        parts = (text[:11], 2047), (text[11:21], 1023), (text[21:], 2047)
        return [mix(n, int(b, 2) / most) for n, (b, most) in zip(names, parts, strict=True)]

    small = [
        (int(bits["packed_rotation"][k : k + 10], 2) / 1023 - 0.5) * math.sqrt(2)
        for k in (2, 12, 22)
    ]
    small.insert(
        int(bits["packed_rotation"][:2], 2), math.sqrt(max(0, 1 - sum(x * x for x in small)))
    )
    color = [int(bits["packed_color"][k : k + 8], 2) / 255 for k in (0, 8, 16, 24)]
    if "min_r" in chunk.dtype.names:
        color[:3] = [mix(name, part) for name, part in zip("rgb", color[:3], strict=True)]
    return (
        three(bits["packed_position"], "xyz"), small,
        three(bits["packed_scale"], ("scale_x", "scale_y", "scale_z")), color[3],
        [(c - 0.5) / C0 for c in color[:3]],
    )  # fmt: skip


@pytest.mark.parametrize(("harmonics", "colors"), [(0, True), (24, True), (45, False)])
def test_supersplat_compressed_ply(tmp_path: Path, harmonics: int, colors: bool) -> None:
    elements = packed_ply(tmp_path / "a.compressed.ply", 300, harmonics, colors)
    found = read_columns(tmp_path / "a.compressed.ply")
    for i in (0, 1, 255, 256, 299):
        mean, rotation, scale, opacity, base = unpacked_slowly(elements, i)
        np.testing.assert_allclose(found.means[i], mean, atol=1e-6)
        np.testing.assert_allclose(found.quaternions[i], rotation, atol=1e-6)
        np.testing.assert_allclose(found.log_scales[i], scale, atol=1e-6)
        np.testing.assert_allclose(1 / (1 + np.exp(-found.opacity_logits[i])), opacity, atol=1e-5)
        np.testing.assert_allclose(found.harmonics[i, 0], base, atol=1e-5)
    if harmonics:
        green = elements["sh"][f"f_rest_{harmonics // 3}"].astype(float)
        inside = (green > 0) & (green < 255)
        np.testing.assert_allclose(
            found.harmonics[inside, 1, 1], ((green + 0.5) / 256 * 8 - 4)[inside], atol=1e-6
        )


def test_broken_compressed_ply(tmp_path: Path) -> None:
    elements = packed_ply(tmp_path / "a.ply", 300)
    elements["chunk"] = elements["chunk"][:1]
    described = [plyfile.PlyElement.describe(rows, name) for name, rows in elements.items()]
    plyfile.PlyData(described).write(tmp_path / "b.ply")
    with pytest.raises(InputError, match="1 chunks for 300"):
        read_columns(tmp_path / "b.ply")


def test_splat_bytes(tmp_path: Path) -> None:
    """One record, written as the format says."""
    record = struct.pack("<6f8B", 1, -2, 3, 0.5, 1, 2, 255, 0, 51, 204, 128, 255, 128, 0)
    (tmp_path / "a.splat").write_bytes(record)
    found = read_columns(tmp_path / "a.splat")
    np.testing.assert_array_equal(found.means, [[1, -2, 3]])
    np.testing.assert_allclose(found.log_scales, np.log([[0.5, 1, 2]]), atol=1e-7)
    np.testing.assert_allclose(0.5 + C0 * found.harmonics[0, 0], [1, 0, 0.2], atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-found.opacity_logits)), [0.8], atol=1e-6)
    np.testing.assert_allclose(found.quaternions, [[0, 127 / 128, 0, -1]])


@pytest.mark.parametrize("suffix", [".splat", ".spz"])
@given(seed=st.integers(0, 1000), degree=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_lossy_formats_keep_what_they_can(suffix: str, seed: int, degree: int) -> None:
    values = columns(8, degree, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write_columns(path, values)
        found = read_columns(path)
    spz = suffix == ".spz"
    # Half a step of each quantisation: 12 bits behind the point, 1/16, 1/255, and the colours'.
    np.testing.assert_allclose(found.means, values.means, atol=0.5 / 4096 + 1e-6 if spz else 0)
    np.testing.assert_allclose(found.log_scales, values.log_scales, atol=1 / 32 if spz else 1e-6)
    opacities = (1 / (1 + np.exp(-x.opacity_logits)) for x in (found, values))
    np.testing.assert_allclose(*opacities, atol=0.5 / 255 + 1e-6)
    step = 1 / 0.15 if spz else 1 / C0
    clipped = values.harmonics[:, 0].clip(-0.5 * step, 0.5 * step)
    np.testing.assert_allclose(found.harmonics[:, 0], clipped, atol=0.5 * step / 255 + 1e-5)
    # Three small components of 9 bits; or four of 1/128, renormalised.
    turned = rotations(found.quaternions), rotations(values.quaternions)
    np.testing.assert_allclose(*turned, atol=0.006 if spz else 0.04)
    if spz:
        assert found.harmonics.shape == values.harmonics.shape
        np.testing.assert_allclose(found.harmonics[:, 1:4], values.harmonics[:, 1:4], atol=9 / 256)
        np.testing.assert_allclose(found.harmonics[:, 4:], values.harmonics[:, 4:], atol=17 / 256)


def test_spz_bytes(tmp_path: Path) -> None:
    """A file of version 2, assembled by hand: one Gaussian of degree 1."""
    header = struct.pack("<4s2I4B", b"NGSP", 2, 1, 1, 12, 1, 0)
    position = b"".join(int(v * 4096).to_bytes(3, "little", signed=True) for v in (1.5, 2, -3))
    body = bytes([51, 255, 0, 128, 160, 144, 176, 255, 128, 128, *range(128, 137)])
    (tmp_path / "a.spz").write_bytes(gzip.compress(header + position + body))
    found = read_columns(tmp_path / "a.spz")
    np.testing.assert_allclose(found.means, [[1.5, -2, 3]])  # y and z point the other way
    np.testing.assert_allclose(found.log_scales, [[0, -1, 1]])
    np.testing.assert_allclose(1 / (1 + np.exp(-found.opacity_logits)), [0.2], atol=1e-6)
    np.testing.assert_allclose(
        found.harmonics[0, 0], [0.5 / 0.15, -0.5 / 0.15, 0.5 / 255 / 0.15], atol=1e-5
    )
    np.testing.assert_allclose(found.quaternions, [[0, 1, -1 / 255, -1 / 255]], atol=1e-6)
    # The harmonics y, z, x, whose signs change with their axes.
    np.testing.assert_allclose(
        found.harmonics[0, 1:], np.array([[0, -1, -2], [-3, -4, -5], [6, 7, 8]]) / 128
    )


def test_turned_axes_show_the_same(tmp_path: Path) -> None:
    """Colours in every direction stay what they were: seen from the turned direction."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("steadyview._C")
    from steadyview.ops import spherical_harmonics
    from steadyview.scene.spz import _harmonic_signs

    draw = torch.Generator().manual_seed(0)
    directions = torch.randn((50, 3), generator=draw)
    coefficients = torch.randn((50, 25, 3), generator=draw)
    turned = coefficients * torch.tensor(_harmonic_signs(4), dtype=torch.float32)[:, None]
    expected = spherical_harmonics(4, directions, coefficients)
    found = spherical_harmonics(4, directions * torch.tensor([1.0, -1, -1]), turned)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".ply", ".splat", ".spz"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_columns(path, columns(3))
    whole = path.read_bytes()
    for length in (0, 3, 10, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        if suffix == ".splat" and length % 32 == 0:
            continue
        with pytest.raises(InputError, match=f"a{suffix}"):
            read_columns(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [(4, 4, "version 4"), (12, 9, "no sense"), (14, 2, "extensions"), (8, 2, "truncated")],
)
def test_spz_headers_that_do_not_fit(tmp_path: Path, field: int, value: int, message: str) -> None:
    path = tmp_path / "a.spz"
    write_columns(path, columns(1))
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[field] = value
    path.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(InputError, match=message):
        read_columns(path)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    values = columns(3)
    for name in ("a.obj", "a.compressed.ply", "a"):
        with pytest.raises(OutputError, match="can be written"):
            write_columns(tmp_path / name, values)
    broken = values._replace(means=np.full((3, 3), np.nan, np.float32))
    far = values._replace(means=np.full((3, 3), 1e8, np.float32))
    for suffix in (".splat", ".spz"):
        with pytest.raises(OutputError, match="not finite"):
            write_columns(tmp_path / f"a{suffix}", broken)
    with pytest.raises(OutputError, match="positions up to"):
        write_columns(tmp_path / "a.spz", far)
    assert not list(tmp_path.iterdir())
    write_columns(tmp_path / "a.ply", values)
    with pytest.raises(OutputError, match="exists already"):
        write_columns(tmp_path / "a.ply", values)
    write_columns(tmp_path / "a.ply", broken, overwrite=True)


def test_spz_of_a_large_scene(tmp_path: Path) -> None:
    values = columns(3)._replace(means=np.full((3, 3), 30_000, np.float32))
    write_columns(tmp_path / "a.spz", values)
    np.testing.assert_allclose(read_columns(tmp_path / "a.spz").means, 30_000)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match="not a file of Gaussians"):
        read_columns(tmp_path / "a.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_columns(tmp_path / "missing.ply")


def test_an_spz_that_unpacks_to_far_more_than_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "a.spz"
    write_columns(path, columns(1))
    whole = gzip.decompress(path.read_bytes())
    bomb = gzip.compress(whole + bytes(100_000_000))
    path.write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(InputError, match="more are there"):
        read_columns(path)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
    lie = struct.pack("<4sI", b"NGSP", 3) + struct.pack("<I", 1 << 28) + whole[12:]
    path.write_bytes(gzip.compress(lie))
    with pytest.raises(InputError, match="more than can be there"):
        read_columns(path)
    path.write_bytes(gzip.compress(whole) + b"more")
    with pytest.raises(InputError, match="not spz"):
        read_columns(path)


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08\x00", b"ply\n"])
def test_a_splat_that_begins_as_another_format(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "a.splat"
    path.write_bytes(start + bytes(8) + np.ones(3, "<f4").tobytes() + b"\xff" * 8)
    assert read_columns(path).means[0, 0] == np.frombuffer(start, "<f4")[0]


def test_splat_scales_that_overflow(tmp_path: Path) -> None:
    values = [np.zeros(shape, np.float32) for shape in ((2, 3), (2, 4), (2, 3), (2,), (2, 1, 3))]
    values[2][1, 2] = 89
    with pytest.raises(OutputError, match="cannot hold scales"):
        write_columns(tmp_path / "a.splat", Columns(*values))
    assert not list(tmp_path.iterdir())
