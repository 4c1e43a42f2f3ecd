import dataclasses
from pathlib import Path

import pytest

import videos
from steadyview.video.hdr import hdr_options
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter

HDR = {
    "mastering": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000.0),
    "light": (1000.0, 400.0),
}
PQ = {"color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9}


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_hdr10_metadata_is_written_and_read(tmp_path: Path, codec: str) -> None:
    source = videos.write_video(tmp_path / "a.mp4", 4, pix_fmt="yuv420p10le", color=PQ)
    output = tmp_path / "b.mp4"
    with open_video(source) as reader:
        assert reader.info.hdr == {}
        info = dataclasses.replace(reader.info, hdr=HDR)
        with VideoWriter(output, info, codec=codec) as writer:
            for frame in reader:
                writer.write(dataclasses.replace(frame, owner=None))
        assert writer.notes == []
    with open_video(output) as reader:
        assert reader.info.hdr["light"] == HDR["light"]
        # AV1 stores 16 bits after the point, and 14 of the least luminance.
        assert reader.info.hdr["mastering"] == pytest.approx(HDR["mastering"], abs=2**-15)
        assert reader.info.color == {"range": 1, "primaries": 9, "trc": 16, "space": 9}


def test_an_encoder_that_cannot_write_it_says_so(tmp_path: Path) -> None:
    assert hdr_options("ffv1", HDR) == {}
    assert hdr_options("libx265", {}) == {}
    source = videos.write_video(tmp_path / "a.mp4", 2, pix_fmt="yuv420p10le")
    with open_video(source) as reader:
        info = dataclasses.replace(reader.info, hdr=HDR)
        with VideoWriter(tmp_path / "b.mkv", info, codec="ffv1") as writer:
            for frame in reader:
                writer.write(frame)
    assert any("HDR10" in note for note in writer.notes)
