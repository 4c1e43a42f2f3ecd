"""Makes docs/images/views.webp: a frame, its depth by plane sweep, and two other views.

python tools/views_picture.py
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from steadyview.ops import fill_holes, inverse_depth_planes, plane_sweep, project_depth
from steadyview.synthetic import make_clip, truth_of

SIZE, AT, OFFSETS = (480, 270), 15, (-10, -5, 5, 10)
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    clip = make_clip("street", Path(tempfile.mkdtemp()), size=SIZE, seconds=1)
    truth = truth_of(clip)
    views = torch.from_numpy(truth["shaky_viewmats"])
    k = torch.from_numpy(truth["K"])
    video = cv2.VideoCapture(str(clip.shaky))
    frames = np.stack([video.read()[1][..., ::-1] for _ in views])
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    near, far = np.percentile(truth["depth"][AT], (1, 99)).astype(float)
    order = [AT, *(AT + offset for offset in OFFSETS)]
    sweep = plane_sweep(
        images[AT], images[order[1:]], views[order], k.expand(len(order), 3, 3),
        inverse_depth_planes(0.8 * near, 2 * far, 96),
    )  # fmt: skip
    known = torch.where(sweep.valid, 1 / sweep.depth, 0)
    filled = fill_holes(
        known[None, None], ~sweep.valid[None], depth=(sweep.depth * sweep.valid)[None], gap=8
    )[0]
    targets = views[AT].repeat(2, 1, 1)
    targets[:, 0, 3] -= torch.tensor([-0.06, 0.06]) * near
    seen = project_depth(
        images[AT : AT + 1] / 255, 1 / filled, views[AT : AT + 1], k[None], targets
    )
    whole = fill_holes(seen.image[0], seen.disoccluded[0], depth=seen.depth[0], gap=3)
    level = (255 * (filled[0] * near).clamp(0, 1)).byte().numpy()
    left, right = (255 * whole.clamp(0, 1)).byte().permute(0, 2, 3, 1).numpy()
    depth = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1]
    picture = np.vstack([np.hstack([frames[AT], depth]), np.hstack([left, right])])
    path = ROOT / "docs/images/views.webp"
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 85])
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
