"""HDR10's static metadata: read from a decoded frame, written by the encoder into its stream."""

import struct
from typing import Any

__all__ = ["hdr_of", "hdr_options"]

# AVMasteringDisplayMetadata: 10 fractions (R, G, B and white as x, y; least and greatest
# luminance), then whether primaries and luminance are known.
_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")


def hdr_of(frame: Any) -> dict[str, tuple[float, ...]]:
    """Mastering display and light level of a decoded frame.

    Args:
        frame: `av.VideoFrame`.

    Returns:
        `mastering`: x, y of red, green, blue and white, then least and greatest luminance in
        cd/m²; `light`: greatest content and frame-average light level in cd/m². Missing where the
        video does not say.
    """
    found: dict[str, tuple[float, ...]] = {}
    try:
        mastering = frame.side_data.get("MASTERING_DISPLAY_METADATA")
        light = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    except ValueError:  # side data that PyAV does not know
        return found
    if mastering is not None and len(bytes(mastering)) >= _MASTERING.size:
        *fractions, primaries, luminance = _MASTERING.unpack_from(bytes(mastering))
        if primaries and luminance and all(fractions[1::2]):
            found["mastering"] = tuple(
                n / d for n, d in zip(fractions[::2], fractions[1::2], strict=True)
            )
    if light is not None and len(bytes(light)) >= _LIGHT.size:
        found["light"] = tuple(float(level) for level in _LIGHT.unpack_from(bytes(light)))
    return found


def hdr_options(encoder: str, hdr: dict[str, tuple[float, ...]]) -> dict[str, str]:
    """Parameters that make an encoder write this metadata: the option's name and its text.

    Empty for encoders that cannot.
    """
    names = {
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
    }
    if not hdr or encoder not in names:
        return {}
    option, mastering_name, light_name = names[encoder]
    parts = []
    if "mastering" in hdr:
        rx, ry, gx, gy, bx, by, wx, wy, least, greatest = hdr["mastering"]
        if encoder == "libsvtav1":  # plain numbers
            points = [f"({x:.5f},{y:.5f})" for x, y in ((gx, gy), (bx, by), (rx, ry), (wx, wy))]
            luminance = f"({greatest:.4f},{least:.4f})"
        else:  # units of 0.00002 and 0.0001
            points = [
                f"({round(x * 50000)},{round(y * 50000)})"
                for x, y in ((gx, gy), (bx, by), (rx, ry), (wx, wy))
            ]
            luminance = f"({round(greatest * 10000)},{round(least * 10000)})"
        letters = zip(["G", "B", "R", "WP"], points, strict=True)
        text = "".join(letter + point for letter, point in letters) + f"L{luminance}"
        parts.append(f"{mastering_name}={text}")
    if "light" in hdr:
        parts.append(f"{light_name}={hdr['light'][0]:.0f},{hdr['light'][1]:.0f}")
    return {option: ":".join(parts)}
