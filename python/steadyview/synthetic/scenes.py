"""What the synthetic clips show: named scenes, and how they are filmed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["GAUSSIAN_SETS", "SCENES", "Layer", "Scene", "Splats"]

#: Sets of 3-D Gaussians that are made here, by name.
GAUSSIAN_SETS = ("street", "room")


@dataclass(frozen=True)
class Layer:
    """A textured plane that faces the first camera.

    Attributes:
        depth: distance along the first camera's axis, in scene units.
        centre: where the layer's middle is, in parts of the view's half width at its depth.
        size: its width and height in the same unit; None: larger than any view.
        velocity: parts of the view's half width a second; not zero makes it a moving object.
        contrast: of its texture, 1 is usual.
        picture: an image file to show instead of a made-up texture.
        slope: scene units of depth that a unit to the right, and one down, adds.
        cutout: holes with soft edges, as between leaves, show what is behind.
    """

    depth: float
    centre: tuple[float, float] = (0.0, 0.0)
    size: tuple[float, float] | None = None
    velocity: tuple[float, float] = (0.0, 0.0)
    contrast: float = 1.0
    picture: str | Path | None = None
    slope: tuple[float, float] = (0.0, 0.0)
    cutout: bool = False


@dataclass(frozen=True)
class Splats:
    """A set of 3-D Gaussians, rendered by `steadyview.ops.rasterization`; needs torch.

    Attributes:
        source: one of `GAUSSIAN_SETS`, or a file of your own (.ply, .splat, .spz).
        eye, target: where in the file's world the camera begins and what it looks at; the distance
            between them is six scene units. Without them all of the set is seen, along its z axis.
        up: towards the top of the picture, in the file's world; trained sets mostly have y down.
    """

    source: str | Path
    eye: tuple[float, float, float] | None = None
    target: tuple[float, float, float] | None = None
    up: tuple[float, float, float] = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """What is filmed, and how: layers, or a panorama, or Gaussians.

    Attributes:
        name: of the scene.
        layers: farthest first; one wall if nothing else is filmed.
        panorama: an image of all directions (equirectangular, its middle is ahead); a camera inside
            it turns, and does not move on.
        splats: a set of Gaussians.
        travel: the steady camera's way over the clip, in scene units (x right, y down, z ahead).
        turn: the steady camera's pan, tilt and roll over the clip, in degrees.
        shake: standard deviation of the shake's pan, tilt and roll in degrees, and of its shift in
            thousandths of a scene unit.
        band: frequencies of the shake in Hz; a walker's steps are added at 1.9 Hz.
        rolling_shutter: part of a frame's time that the read-out takes.
        blur: part of a frame's time that the shutter is open.
        noise: standard deviation of the sensor's noise, of 255.
        brightness: factor on the picture.
        frame_rate: frames a second.
        seed: of the random numbers.
    """

    name: str
    layers: tuple[Layer, ...] = ()
    travel: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shake: tuple[float, float, float, float] = (0.35, 0.35, 0.25, 0.0)
    band: tuple[float, float] = (1.5, 8.0)
    rolling_shutter: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    brightness: float = 1.0
    frame_rate: int = 30
    seed: int = 0
    panorama: str | Path | None = None
    splats: Splats | None = None

    def __post_init__(self) -> None:
        if not self.layers and self.panorama is None and self.splats is None:
            object.__setattr__(self, "layers", (Layer(10.0),))

    @property
    def files(self) -> list[str | Path]:
        """Whatever it shows that is read from a disk."""
        given = [layer.picture for layer in self.layers]
        if self.splats is not None and self.splats.source not in GAUSSIAN_SETS:
            given.append(self.splats.source)
        return [path for path in (*given, self.panorama) if path is not None]


_ROOM = (
    Layer(12.0),
    Layer(6.0, (-0.9, 0.5), (0.7, 1.2)),
    Layer(3.5, (1.0, 0.7), (0.8, 1.0)),
)
_WALKERS = (
    Layer(10.0),
    Layer(5.0, (-1.1, 0.3), (0.35, 1.0), (0.45, 0.0)),
    Layer(4.0, (1.2, 0.35), (0.4, 1.1), (-0.5, 0.0)),
)
#: A backdrop, ground that comes nearer, a wall to the right, and leaves one behind another.
_GARDEN = (
    Layer(16.0),
    Layer(16.8, (0.0, 0.118), (2.2, 0.107), slope=(0.0, -8.0)),
    Layer(11.0, (0.55, -0.1), (0.7, 0.6), slope=(-1.2, 0.0)),
    Layer(9.0, (-0.6, -0.15), (1.1, 0.9), cutout=True),
    Layer(6.0, (0.5, 0.25), (0.9, 0.6), cutout=True),
    Layer(4.0, (-1.0, 0.35), (0.9, 0.8), cutout=True),
    Layer(3.0, (1.0, -0.4), (0.8, 0.6), cutout=True),
)
#: A frame of examples/handheld.mp4 (GoPro, Inc., Apache-2.0 or MIT: examples/README.md).
_PHOTOGRAPH = (
    Layer(10.0, size=(2.7, 2.7 * 9 / 16), picture=Path(__file__).with_name("photograph.jpg")),
)
_TWIST = (0.35, 0.35, 1.2, 0.0)

#: Named scenes: every kind of trouble alone, and all of it together.
SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (
        Scene("still_hand", seed=1),
        Scene("pan", turn=(12.0, 0.0, 0.0), seed=2),
        Scene("quick_rotation", turn=(35.0, 4.0, 0.0), shake=_TWIST, seed=3),
        Scene("walk", travel=(0.3, 0.0, 1.5), shake=(0.5, 0.6, 0.4, 12.0), seed=4),
        Scene("parallax", _ROOM, travel=(0.8, 0.0, 0.6), shake=(0.4, 0.4, 0.3, 15.0), seed=5),
        Scene("zoom", travel=(0.0, 0.0, 3.0), seed=6),
        Scene("crowd", _WALKERS, turn=(5.0, 0.0, 0.0), seed=7),
        Scene("running", travel=(0.0, 0.0, 1.5), shake=(1.0, 1.3, 0.8, 25.0), seed=8),
        Scene("rolling_shutter", rolling_shutter=0.8, shake=(0.5, 0.5, 0.5, 0.0), seed=9),
        Scene("motion_blur", blur=0.6, shake=(0.7, 0.7, 0.4, 0.0), seed=10),
        Scene("night", noise=9.0, brightness=0.35, seed=11),
        Scene("photograph", _PHOTOGRAPH, shake=(0.5, 0.5, 0.4, 0.0), seed=14),
        Scene("garden", _GARDEN, travel=(0.7, 0.0, 0.9), shake=(0.4, 0.4, 0.3, 15.0), seed=15),
        Scene("bare_walls", (Layer(10.0, contrast=0.12),), seed=12),
        Scene(
            "everything", (*_ROOM, _WALKERS[1]), (0.5, 0.0, 0.8), (8.0, 0.0, 0.0),
            (0.6, 0.7, 0.5, 12.0), rolling_shutter=0.5, blur=0.3, noise=3.0, seed=13,
        ),
        Scene(
            "street", splats=Splats("street"), travel=(0.3, 0.0, 3.2), shake=(0.5, 0.6, 0.4, 20.0),
            seed=16,
        ),
        Scene(
            "room", splats=Splats("room"), travel=(0.7, 0.0, 0.5), turn=(8.0, 0.0, 0.0),
            shake=(0.5, 0.5, 0.4, 12.0), rolling_shutter=0.6, seed=17,
        ),
    )
}  # fmt: skip
