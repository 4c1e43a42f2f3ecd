"""Makes the README's pictures from the example clip: an animation, the path plot, the report's top.

Usage: python tools/readme_images.py   (needs steadyview[dev]; the last picture needs Chromium)
"""

import shutil
import subprocess
import tempfile
from itertools import islice
from pathlib import Path

import cv2
from PIL import Image

import steadyview
from steadyview.metrics import compare_videos
from steadyview.render.compare import side_by_side
from steadyview.report.html import write_report
from steadyview.video import open_video

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "examples" / "handheld.mp4"
IMAGES = ROOT / "docs" / "images"
FIRST, FRAMES, WIDTH = 60, 150, 400  # 5 s


def animation(result: steadyview.StabilizationResult, target: Path) -> None:
    """Before and after beside each other, at the clip's own rate, as an animated WebP."""
    pages = []
    with open_video(CLIP) as reader:
        pairs = zip((reader.to_rgb(frame) for frame in reader), result.frames(), strict=True)
        for pair in islice(pairs, FIRST, FIRST + FRAMES):
            height = round(WIDTH * pair[0].shape[0] / pair[0].shape[1])
            small = [cv2.resize(x, (WIDTH, height), interpolation=cv2.INTER_AREA) for x in pair]
            pages.append(Image.fromarray(side_by_side(*small, labels=("before", "after"))))
    milliseconds = round(1000 / float(result.info.frame_rate))
    pages[0].save(
        target, save_all=True, append_images=pages[1:], duration=milliseconds, loop=0,
        quality=40, method=4, minimize_size=False,
    )  # fmt: skip


def screenshot(page: Path, target: Path) -> None:
    """The top of the report, as Chromium shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium: the picture of the report is left as it is")
        return
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot}",
             "--window-size=1200,1620", page.as_uri()],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        image = Image.open(shot).convert("RGB")
        half = image.resize((image.width * 2 // 3, image.height * 2 // 3), Image.Resampling.LANCZOS)
        half.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        steady = Path(folder) / "steady.mp4"
        result = steadyview.stabilize(CLIP, steady)
        animation(result, IMAGES / "before_after.webp")
        result.plot().savefig(IMAGES / "path.png", dpi=90)
        page = Path(folder) / "report.html"
        write_report(result, page, quality=compare_videos(str(CLIP), str(steady)))
        screenshot(page, IMAGES / "report.png")
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
