"""PLY, against plyfile, which shares no code with ours."""

from pathlib import Path

import numpy as np
import plyfile
import pytest

from steadyview.errors import InputError, OutputError
from steadyview.scene.ply import read_ply, write_ply

ROWS = np.array(
    [(1.5, -3, 200), (float("nan"), 7, 0), (float("inf"), 2**31 - 1, 255)],
    dtype=[("x", "f4"), ("count", "i4"), ("shade", "u1")],
)
MORE = np.array([(0.1,), (1e300,)], dtype=[("value", "f8")])


def write_with_plyfile(path: Path, *elements: plyfile.PlyElement, text=False, order="<") -> Path:
    data = plyfile.PlyData(elements, text=text, byte_order=order, comments=["made by plyfile"])
    data.write(path)
    return path


def assert_same(result: np.ndarray, expected: np.ndarray) -> None:
    """Records with NaN are not equal to themselves: compared field by field."""
    assert result.dtype == expected.dtype
    for name in expected.dtype.names:
        np.testing.assert_array_equal(result[name], expected[name])


@pytest.mark.parametrize(("text", "order"), [(False, "<"), (False, ">"), (True, "=")])
def test_reads_what_plyfile_writes(tmp_path: Path, text: bool, order: str) -> None:
    elements = [plyfile.PlyElement.describe(ROWS, "vertex"), plyfile.PlyElement.describe(MORE, "b")]
    found = read_ply(write_with_plyfile(tmp_path / "a.ply", *elements, text=text, order=order))
    assert list(found) == ["vertex", "b"]
    assert_same(found["vertex"], ROWS)
    np.testing.assert_allclose(found["b"]["value"], MORE["value"], rtol=1e-15)


def test_plyfile_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, {"vertex": ROWS, "b": MORE.astype(MORE.dtype.newbyteorder(">"))}, ["hello"])
    found = plyfile.PlyData.read(path)
    assert found.comments == ["hello"]
    assert_same(found["vertex"].data, ROWS)
    assert_same(found["b"].data, MORE)
    assert [file.name for file in tmp_path.iterdir()] == ["a.ply"]


def test_faces_are_left_out(tmp_path: Path) -> None:
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    elements = [
        plyfile.PlyElement.describe(ROWS, "vertex"),
        plyfile.PlyElement.describe(faces, "f"),
    ]
    for text in (False, True):
        path = write_with_plyfile(tmp_path / "mesh.ply", *elements, text=text)
        assert list(read_ply(path)) == ["vertex"]


@pytest.mark.parametrize("text", [False, True])
def test_every_truncation_is_noticed(tmp_path: Path, text: bool) -> None:
    element = plyfile.PlyElement.describe(ROWS, "vertex")
    whole = write_with_plyfile(tmp_path / "a.ply", element, text=text).read_bytes()
    broken = tmp_path / "broken.ply"
    # Without its last line break, or a digit of its last number, a text file still has all rows.
    for length in range(len(whole) - (4 if text else 0)):
        broken.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"broken\.ply"):
            read_ply(broken)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("plyx\n", "not a PLY file"),
        ("ply\nelement vertex 1\nproperty float x\nend_header\n", "names no format"),
        ("ply\nformat ascii 2.0\nend_header\n", "not PLY: 'format ascii 2.0'"),
        ("ply\nformat ascii 1.0\nelement vertex -1\nend_header\n", "element vertex -1"),
        ("ply\nformat ascii 1.0\nproperty float x\nend_header\n", "property float x"),
        ("ply\nformat ascii 1.0\nelement v 1\nproperty half x\nend_header\n", "half"),
        ("ply\nformat ascii 1.0\nelement v 1\nelement v 1\nend_header\n", "twice"),
        (
            "ply\nformat ascii 1.0\nelement v 1\nproperty int x\nproperty int x\nend_header\n1 2\n",
            "twice",
        ),
        ("ply\nformat ascii 1.0\nelement v 1\nproperty int x\nend_header\nseven\n", "seven"),
        (
            "ply\nformat ascii 1.0\nelement v 2\nproperty int x\nproperty int y\n"
            "end_header\n1 2\n3",
            "truncated.* Row 1 of 'v' takes 2 values, 1 are there",
        ),
        (
            "ply\nformat binary_little_endian 1.0\nelement v 99999999999999\nproperty int x\n"
            "end_header\n",
            "truncated",
        ),
        (f"ply\nformat ascii 1.0\nelement v {10**20}\nend_header\n", "no properties"),
        (
            f"ply\nformat binary_big_endian 1.0\nelement v {10**20}\nend_header\n",
            "no properties",
        ),
        (
            f"ply\nformat ascii 1.0\nelement v {10**20}\nproperty int x\nend_header\n1\n",
            "truncated",
        ),
        ("ply\n" + "comment\n" * 20_000, "does not end"),
        ("ply\ncomment " + "x" * 10_000, "does not end"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "bad.ply"
    path.write_text(header)
    with pytest.raises(InputError, match=f"bad.ply.*{message}"):
        read_ply(path)


def test_header_with_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(
        b"ply\r\nformat ascii 1.0\r\nelement v 2\r\nproperty short x\r\n"
        b"end_header\r\n1\r\n\r\n2\r\n"
    )
    assert read_ply(path)["v"]["x"].tolist() == [1, 2]


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        read_ply(tmp_path / "missing.ply")
    with pytest.raises(OutputError, match="nowhere"):
        write_ply(tmp_path / "nowhere" / "a.ply", {"vertex": ROWS})


@pytest.mark.parametrize("length", [4086, 4087, 4088, 9000])
def test_a_long_comment(tmp_path: Path, length: int) -> None:
    rows = np.array([(1.5,)], [("x", "f4")])
    write_ply(tmp_path / "a.ply", {"vertex": rows}, ["a" * length, "end_header " * length])
    assert np.array_equal(read_ply(tmp_path / "a.ply")["vertex"], rows)
