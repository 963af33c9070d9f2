"""The nodes of graph.yaml: pictures are drawn or found, read, searched for stars, and stored.

All of them are plain functions. `find` fills a core for as long as it runs. On the loop nothing else
happens meanwhile; on another executor the very same function runs elsewhere, and the loop stays free. For
that a function must stand at the top level of a module, so that a worker can import it, and what it takes
and returns must be picklable, as arrays are.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pipelines import InputProcessor, Processor
from pipelines.registry import coro

Picture = dict[str, Any]
Pixels = NDArray[np.uint8]
Pixel = tuple[int, int]

WIDTH, HEIGHT = 960, 720
MARGIN = 18
FEWEST, MOST = 100, 240
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


# The pictures: made once, unless you have a folder of your own.


def draw(number: int) -> tuple[Pixels, int]:
    """Picture ``number``, always the same one, and how many stars were drawn into it.

    The sky glows towards the horizon and is full of noise; stars differ in brightness and size, and may
    stand so near to each other that they look like one.
    """
    chance = np.random.default_rng(number)
    sky = np.linspace(20, 70, HEIGHT)[:, None] + chance.normal(0, 5, (HEIGHT, WIDTH))
    count = int(chance.integers(FEWEST, MOST))
    near = np.arange(-MARGIN, MARGIN + 1)
    for _ in range(count):
        x, y = chance.integers(MARGIN, WIDTH - MARGIN), chance.integers(MARGIN, HEIGHT - MARGIN)
        light, radius = chance.uniform(100, 400), chance.uniform(2.0, 5.0)
        bell = np.exp(-(near**2) / (2 * radius**2))
        sky[y - MARGIN : y + MARGIN + 1, x - MARGIN : x + MARGIN + 1] += light * np.outer(bell, bell)
    return np.clip(sky, 0, 255).astype(np.uint8), count


def draw_file(number: int, path: Path) -> None:
    """Draw picture ``number``, unless it is there; a file that is there is always whole."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    Image.fromarray(draw(number)[0]).save(partial, "PNG")
    partial.replace(path)


def drawn_files(results: str, count: int) -> list[Path]:
    """The first ``count`` pictures that are, or will be, drawn."""
    return [Path(results, "pictures", f"sky-{number:04}.png") for number in range(count)]


async def prepare(self: InputProcessor) -> None:
    """Before the first item: make the folder for the results; draw what is missing, without holding up the loop."""
    # Not in a thread: the nodes behind this one are set up next, and `table` opens its file in this folder.
    Path(self.args["results"]).mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    if self.args["folder"] is None:
        for number, path in enumerate(drawn_files(self.args["results"], self.args["count"])):
            await asyncio.to_thread(draw_file, number, path)


# The nodes, in the order of the graph.


@coro("stars.pictures", setup=prepare)
def pictures(self: InputProcessor, results: str, folder: str | None = None, count: int = 48) -> Iterator[str]:
    """The source: names of picture files, in the order of the alphabet.

    Args:
        results: The folder of the whole demo; pictures are drawn below it.
        folder: Pictures of your own, to be taken instead.
        count: How many pictures at most.
    """
    files = drawn_files(results, count) if folder is None else sorted(Path(folder).iterdir())
    yield from [str(path) for path in files if path.suffix.lower() in SUFFIXES][:count]


@coro("stars.read")
def read(self: Processor, q_elt: tuple[str]) -> Picture:
    """Open one file, as shades of grey."""
    with Image.open(q_elt[0]) as image:
        return {"name": Path(q_elt[0]).stem, "pixels": np.array(image.convert("L"))}


@coro("stars.find")
def find(self: Processor, q_elt: tuple[Picture], shrink: int = 2, blur: float = 1.0, contrast: int = 24) -> Picture:
    """The work: shrink the picture, take out noise and the glow of the sky, and count what shines.

    Args:
        shrink: So many pixels become one, in each direction.
        blur: Radius in which noise is smoothed away.
        contrast: How much brighter than the sky around it a pixel of a star is.
    """
    picture = q_elt[0]
    image = Image.fromarray(picture["pixels"]).reduce(shrink)
    smooth = image.filter(ImageFilter.GaussianBlur(blur))
    glow = image.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.GaussianBlur(24))
    light = np.asarray(smooth, dtype=np.int16) - np.asarray(glow, dtype=np.int16)
    spots = connected(light > contrast)
    row = {
        "picture": picture["name"],
        "stars": len(spots),
        "largest": max(map(len, spots), default=0),
        "brightest": int(light.max()),
        "bright_share": round(sum(map(len, spots)) / light.size, 5),
    }
    return {"name": picture["name"], "pixels": np.asarray(marked(image, spots)), "row": row}


@coro("stars.store")
def store(self: Processor, q_elt: tuple[Picture], folder: str) -> dict[str, Any]:
    """Write the small picture with its marks to ``folder``, and hand on its row of the table."""
    found = q_elt[0]
    path = Path(folder, found["name"] + ".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(found["pixels"]).save(path)
    row: dict[str, Any] = found["row"]
    return row


# How stars are found.


def connected(bright: NDArray[np.bool_]) -> list[list[Pixel]]:
    """The spots of a picture: bright pixels that touch each other, be it by a corner.

    This is a loop over pixels in Python. It keeps the interpreter's lock all the time, and so it is what
    threads cannot help with.
    """
    left = set(zip(*(axis.tolist() for axis in np.nonzero(bright)), strict=True))
    spots = []
    while left:
        edge = [left.pop()]
        spot = []
        while edge:
            y, x = edge.pop()
            spot.append((y, x))
            for neighbour in [(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]:
                if neighbour in left:
                    left.remove(neighbour)
                    edge.append(neighbour)
        spots.append(spot)
    return spots


def marked(image: Image.Image, spots: list[list[Pixel]]) -> Image.Image:
    """The picture in colour, with a ring around every spot."""
    colour = image.convert("RGB")
    pen = ImageDraw.Draw(colour)
    for spot in spots:
        rows, columns = zip(*spot, strict=True)
        box = (min(columns) - 3, min(rows) - 3, max(columns) + 3, max(rows) + 3)
        pen.ellipse(box, outline=(255, 160, 0))
    return colour
