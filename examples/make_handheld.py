"""Makes handheld.mp4: GoPro's own sample clip with the shake of its camera put back.

The camera steadied the clip while it recorded it, and wrote down by how much it turned each frame
(the IORI stream of the file's metadata track, one quaternion a frame). Undoing that turn gives back
what the camera's hand-held body saw. The focal length is fitted: in the last, panning second the
image moves by 379 px a radian of the recorded orientation (R^2 = 1.000).

Usage: python make_handheld.py max-heromode.mp4 handheld.mp4
"""

import struct
import sys
from fractions import Fraction

import av
import cv2
import numpy as np

FOCAL = 379.0  # px
FRAMES = 264  # the camera turns away after that
SIZE = (640, 360)  # cut from the middle of 848x480, so that no border shows


def image_orientation(path: str) -> np.ndarray:
    """The IORI stream of a GoPro file: `(N, 4)` quaternions (w, x, y, z), camera to image."""
    found: list[np.ndarray] = []

    def walk(data: bytes) -> None:
        # GPMF: four letters, type, size, count (big-endian), payload padded to four bytes.
        position, scale = 0, 1.0
        while position + 8 <= len(data):
            key, kind, size, count = struct.unpack_from(">4sBBH", data, position)
            payload = data[position + 8 : position + 8 + size * count]
            if kind == 0:
                walk(payload)
            elif key == b"SCAL" and size == 2:
                scale = struct.unpack(">h", payload[:2])[0]
            elif key == b"IORI":
                found.append(np.frombuffer(payload, ">i2").reshape(count, 4) / scale)
            position += 8 + -(-size * count // 4) * 4

    with av.open(path) as container:
        for packet in container.demux(*(s for s in container.streams if s.type == "data")):
            if bytes(packet)[:4] == b"DEVC":
                walk(bytes(packet))
    return np.concatenate(found)


def main(source: str, target: str) -> None:
    turn = -2 * image_orientation(source)[:, 1:]  # small angles: pitch, yaw, roll in radians
    with av.open(source) as container, av.open(target, "w") as output:
        stream = output.add_stream("libx264", Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"crf": "25", "preset": "veryslow"}
        for index, frame in enumerate(container.decode(video=0)):
            if index == FRAMES:
                break
            image = frame.to_ndarray(format="rgb24")
            pitch, yaw, roll = turn[index]
            centre = np.array([image.shape[1], image.shape[0]]) / 2 - 0.5
            shift = FOCAL * np.array([yaw, -pitch])
            linear = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
            offset = np.array(SIZE) / 2 - 0.5 + shift - linear @ centre
            matrix = np.concatenate([linear, offset[:, None]], axis=1)
            shaky = cv2.warpAffine(image, matrix, SIZE, flags=cv2.INTER_LANCZOS4, borderValue=0)
            shaky_frame = av.VideoFrame.from_ndarray(shaky, format="rgb24")
            output.mux(stream.encode(shaky_frame))
        output.mux(stream.encode(None))


if __name__ == "__main__":
    main(*sys.argv[1:])
