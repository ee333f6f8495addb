"""Pictures of live zoom for the README, from Slicer's own slice views: `PYTHONPATH=Testing python -m demo.live`.

Patient12's T2 is made three times coarser in plane, so that the truth is known; each picture shows what Slicer
interpolates, what live zoom shows, and the scan before it was made coarser.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .cases import Case, find_cases
from .figures import caption_view, save_small, text_font, words
from .session import Session

SIZE = 300  # pixels of a view
ZOOMS = (1.15, 3.0, 6.0)
PLACE = (0.50, 0.50, 0.655)  # of the field of view (k, j, i): the insula with its vessels
GREYS = 52  # of a picture: fewer make smaller files; the badge turns grey with the rest
QUALITY = 55  # of the animation's frames
STEPS = 14  # of the animation
DURATIONS_MS = [900, *[180] * (STEPS - 2), 1800]
TIMEOUT_S = 300.0


class LivePictures:
    """The module, one view, and a case in it."""

    def __init__(self, case: Case, method: str) -> None:
        self.session, self.method = Session(), method
        self.session.add(case)
        self.nodes = self.session.nodes[case.name]
        self.case = case
        self.view = self.session.harness.view("Red")
        self.view.resize(SIZE, SIZE)
        import slicer

        slicer.util.setSliceViewerLayers(background=self.nodes["input"])
        self.view.node.RotateToVolumePlane(self.nodes["input"])
        self.view.fitSliceToBackground()
        self.whole = self.view.node.GetFieldOfView()
        grid = case.low.grid
        index = [round(share * (n - 1)) for share, n in zip(PLACE, grid.shape, strict=True)]
        self.place = grid.positions(np.array(index, dtype=float))

    def look(self, zoom: float) -> None:
        """Show the place this many times enlarged."""
        width, height, depth = self.whole
        self.view.node.SetFieldOfView(width / zoom, height / zoom, depth)
        share = min(1.0, (zoom - 1) / 0.6)  # the whole head first, then the place
        middle = self.case.low.grid.center
        across = self.place - middle
        normal = np.array([self.view.node.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
        self.view.node.JumpSliceByCentering(*(middle + normal * (across @ normal) + share * across * 0.999))
        self.session.harness.process_events()

    def live(self, **settings) -> None:
        """Switch live zoom on and wait for it."""
        self.logic.startLiveZoom(
            ["Red"],
            self.nodes["input"],
            self.nodes["reference"],
            method=self.method,
            register=self.case.register,
            **settings,
        )
        self.settle()

    def settle(self) -> None:
        """Wait for the final frame."""
        self.session.harness.wait(lambda: not self.logic.liveZoom.busy, TIMEOUT_S, "the frames")

    @property
    def logic(self):
        return self.session.module.logic

    def shot(self, caption: str = "") -> Image.Image:
        """The view as it is on the screen, with a scale bar."""
        return caption_view(self.view.image(), caption, self.view.node.GetFieldOfView()[0] / SIZE, size=12)

    def background(self, name: str) -> None:
        self.view.mrmlSliceCompositeNode().SetBackgroundVolumeID(self.nodes[name].GetID())
        self.session.harness.process_events()

    def strip(self) -> Image.Image:
        """Three zoom levels, one a row: interpolated, live zoom, truth."""
        columns: dict[str, list[Image.Image]] = {"interpolated": [], "live zoom": [], "truth": []}
        for zoom in ZOOMS:
            self.look(zoom)
            columns["interpolated"].append(self.shot())
            self.background("truth")
            columns["truth"].append(self.shot())
            self.background("input")
        self.look(ZOOMS[0])
        self.live()
        for zoom in ZOOMS:
            self.look(zoom)
            self.settle()
            columns["live zoom"].append(self.shot())
        self.logic.stopLiveZoom()
        titles = (
            f"T2, {self.case.scale:g} times coarser",
            f"live zoom: {words(self.method)} with the T1",
            "truth: T2 as scanned",
        )
        return _tile(titles, list(columns.values()))

    def animation(self) -> list[Image.Image]:
        """Zooming in with the split: interpolated at the left of the line, live zoom at the right."""
        self.look(ZOOMS[0])
        self.live(show="split", split=0.5)
        frames = []
        for zoom in np.geomspace(1.0, 5.0, STEPS):
            self.look(float(zoom))
            self.settle()
            frames.append(self.shot(f"as Slicer shows it   |   {words(self.method)} with T1"))
        self.logic.stopLiveZoom()
        return frames

    def close(self) -> None:
        self.session.close()


def _tile(titles: tuple[str, ...], columns: list[list[Image.Image]]) -> Image.Image:
    head, gap = 22, 4
    rows = len(columns[0])
    picture = Image.new("RGB", (len(columns) * (SIZE + gap) - gap, head + rows * (SIZE + gap) - gap), "white")
    draw = ImageDraw.Draw(picture)
    for number, (title, column) in enumerate(zip(titles, columns, strict=True)):
        left = number * (SIZE + gap)
        draw.text((left + SIZE / 2, head / 2), title, fill="black", anchor="mm", font=text_font(14))
        for row, image in enumerate(column):
            picture.paste(image, (left, head + row * (SIZE + gap)))
    return picture


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="default demo-output")
    parser.add_argument("--method", default="swift", help="default swift")
    given = parser.parse_args(arguments)
    output = given.output
    output.mkdir(parents=True, exist_ok=True)
    pictures = LivePictures(find_cases(print)[0], given.method)
    strip = output / "live-zoom.png"
    save_small(pictures.strip().convert("L"), strip, GREYS)
    first, *more = [frame.convert("L").convert("RGB") for frame in pictures.animation()]
    film = output / "live-zoom.webp"
    first.save(film, save_all=True, append_images=more, duration=DURATIONS_MS, loop=0, quality=QUALITY, method=6)
    pictures.close()
    for path in (strip, film):
        print(f"Written: {path} ({path.stat().st_size / 1e3:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
