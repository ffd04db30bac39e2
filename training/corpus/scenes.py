"""Arrangements of surfaces that look, to a forensic eye, like what people photograph.

A scene is a backdrop and a subject with its own matte, so that a clip can move them apart.
Everything is linear light: float32 [height, width, 3], about 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from training.arrays import Plane
from training.corpus.textures import dead_leaves, palette, power_law
from training.draw import log_uniform


@dataclass(frozen=True, slots=True)
class Scene:
    """A backdrop and what stands before it.

    Attributes:
        backdrop: float32 [height, width, 3].
        subject: float32 [height, width, 3], meaningful where the matte is not 0.
        matte: float32 [height, width] in [0, 1].
    """

    backdrop: Plane
    subject: Plane
    matte: Plane

    def flat(self) -> Plane:
        """The picture of both, float32 [height, width, 3]."""
        matte = self.matte[..., None]
        return np.asarray(self.backdrop * (1 - matte) + self.subject * matte, np.float32)


def scene(rng: np.random.Generator, height: int, width: int) -> Scene:
    """A random scene: backdrop, subject, light across both, and depth of field."""
    backdrops = (_leaves, _foliage, _landscape, _facade, _page, _wall)
    backdrop = backdrops[rng.choice(len(backdrops), p=(0.3, 0.2, 0.2, 0.14, 0.06, 0.1))](rng, height, width)
    subjects = (_nobody, _portrait, _objects)
    subject, matte = subjects[rng.choice(len(subjects), p=(0.3, 0.4, 0.3))](rng, height, width)
    light = _light(rng, height, width)
    if matte.any() and rng.random() < 0.6:
        backdrop = _defocus(backdrop, np.exp(rng.uniform(0, 2.5)))
    elif rng.random() < 0.25:
        backdrop = _focus_by_depth(rng, backdrop)
    return Scene(backdrop * light, subject * light, matte)


def _light(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Slow gradient and soft shadows over the whole picture."""
    rows, columns = _grid(height, width)
    gradient = np.exp(rng.normal(0, 0.35) * rows + rng.normal(0, 0.35) * columns)
    shadows = np.exp(rng.uniform(0, 0.35) * power_law(rng, height, width, 2.0))
    tint = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    return np.asarray((gradient * shadows)[..., None] * tint, np.float32)


def _defocus(picture: Plane, sigma: float) -> Plane:
    return np.asarray(ndimage.gaussian_filter(picture, (sigma, sigma, 0), truncate=2.5), np.float32)


def _focus_by_depth(rng: np.random.Generator, picture: Plane) -> Plane:
    """Sharp along one plane, more and more blurred away from it."""
    rows, columns = _grid(*picture.shape[:2])
    angle = rng.uniform(0, np.pi)
    away = np.abs(rows * np.cos(angle) + columns * np.sin(angle) - rng.uniform(-0.6, 0.6))[..., None]
    soft, softer = (_defocus(picture, sigma) for sigma in (1.5, 6.0))
    near, far = np.clip(away * 2.5, 0, 1), np.clip(away * 2 - 0.8, 0, 1)
    return np.asarray((picture * (1 - near) + soft * near) * (1 - far) + softer * far, np.float32)


def _grid(height: int, width: int) -> tuple[Plane, Plane]:
    """Rows and columns from -1 to 1, float32, broadcastable to [height, width]."""
    return (
        np.linspace(-1, 1, height, dtype=np.float32)[:, None],
        np.linspace(-1, 1, width, dtype=np.float32)[None, :],
    )


def _leaves(rng: np.random.Generator, height: int, width: int) -> Plane:
    return dead_leaves(rng, height, width, float(np.exp(rng.uniform(0.3, 2.5))))


def _foliage(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Grass, gravel, fur: fine structure of nearly one colour."""
    tone = palette(rng, 2)
    stretch = float(np.exp(rng.uniform(-2, 2)))
    mix = power_law(rng, height, width, rng.uniform(0.6, 1.3), stretch)
    mix += 0.5 * power_law(rng, height, width, rng.uniform(1.2, 2.0))
    weight = 1 / (1 + np.exp(-mix * rng.uniform(0.7, 2.5)))[..., None]
    return np.asarray(tone[0] * weight + tone[1] * (1 - weight), np.float32)


def _landscape(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Sky with clouds, ridges, ground."""
    rows, _ = _grid(height, width)
    top, low = palette(rng, 2)
    blue = np.array([0.35, 0.55, 0.9], np.float32) * rng.uniform(0.5, 1)
    ramp = (rows[..., None] + 1) / 2
    picture = blue * (1 - ramp) + (0.5 * low + 0.4) * ramp + np.zeros((height, width, 3), np.float32)
    clouds = np.clip(power_law(rng, height, width, 1.6, 2.0) - rng.uniform(-0.5, 1), 0, 1)[..., None]
    picture += clouds * (0.85 - picture)
    for depth in np.sort(rng.uniform(-0.4, 0.5, int(rng.integers(1, 4)))):
        ridge = depth + 0.1 * power_law(rng, 2, width, rng.uniform(1.1, 1.8))[0]
        below = np.clip((rows - ridge[None, :]) * height / 3, 0, 1)[..., None]
        ground = _leaves(rng, height, width) if rng.random() < 0.4 else _foliage(rng, height, width)
        picture = picture * (1 - below) + (0.7 * ground + 0.3 * top * ground.mean()) * below
    return np.asarray(picture, np.float32)


def _facade(rng: np.random.Generator, height: int, width: int) -> Plane:
    """A building in perspective: straight edges, windows, repeated details."""
    wall, glass, frame = palette(rng, 3)
    across, down = int(rng.integers(4, 14)), int(rng.integers(4, 14))
    canvas = Image.new("RGB", (width, height), _bytes(wall))
    draw = ImageDraw.Draw(canvas)
    pitch, tall = width / across, height / down
    for row in range(-1, down + 1):
        for column in range(-1, across + 1):
            x, y = (column + 0.2) * pitch, (row + 0.2) * tall
            box = (x, y, x + 0.6 * pitch, y + 0.65 * tall)
            pane = glass * rng.uniform(0.5, 1.6)
            draw.rectangle(box, fill=_bytes(pane), outline=_bytes(frame), width=max(1, int(pitch / 20)))
            draw.line((x + 0.3 * pitch, y, x + 0.3 * pitch, box[3]), fill=_bytes(frame), width=2)
    skew = rng.uniform(-0.3, 0.3, 2)
    tilt = (1 - abs(skew[0]), skew[0], 0, skew[1], 1, 0, skew[0] / width, rng.uniform(-0.2, 0.2) / height)
    warped = canvas.transform((width, height), Image.Transform.PERSPECTIVE, tilt, Image.Resampling.BILINEAR)
    picture = np.asarray(warped, np.float32) / 255
    grain = np.exp(0.12 * power_law(rng, height, width, rng.uniform(0.5, 1.2)))
    return np.asarray(picture * grain[..., None], np.float32)


def _page(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Print: lines of type in several sizes, on paper or on a sign."""
    ink, paper = palette(rng, 2)
    paper = np.clip(paper * rng.uniform(1, 4), 0, 0.9)
    canvas = Image.new("RGB", (width, height), _bytes(paper))
    draw = ImageDraw.Draw(canvas)
    y = 0.0
    while y < height:
        size = log_uniform(rng, 9, height / 6)
        letters = "".join(chr(code) for code in rng.integers(33, 123, max(3, int(2 * width / size))))
        text = "".join(" " if letter in "$%&*+" else letter for letter in letters)
        draw.text((rng.uniform(-20, 20), y), text, _bytes(ink), ImageFont.load_default(size))
        y += size * rng.uniform(1.1, 2)
    spin = canvas.rotate(rng.normal(0, 6), Image.Resampling.BICUBIC, fillcolor=_bytes(paper))
    picture = np.asarray(spin, np.float32) / 255
    grain = np.exp(0.05 * power_law(rng, height, width, 0.8))
    return np.asarray(picture * grain[..., None], np.float32)


def _wall(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Almost nothing: a studio backdrop, a clear sky, a wall."""
    rows, columns = _grid(height, width)
    tone = palette(rng, 1)[0]
    spot = np.exp(
        -((rows - rng.uniform(-1, 1)) ** 2 + (columns - rng.uniform(-1, 1)) ** 2) * rng.uniform(0, 1.5)
    )
    grain = np.exp(rng.uniform(0, 0.06) * power_law(rng, height, width, rng.uniform(0.4, 1.2)))
    return np.asarray(tone * (0.4 + 0.8 * spot * grain)[..., None], np.float32)


def _nobody(_rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    return np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)


def _ellipse(
    height: int, width: int, centre: tuple[float, float], radii: tuple[float, float]
) -> tuple[Plane, Plane]:
    """Signed offsets from the centre in units of the radii (x, y); centre and radii in pixels."""
    rows = (np.arange(height, dtype=np.float32)[:, None] - centre[1]) / radii[1]
    columns = (np.arange(width, dtype=np.float32)[None, :] - centre[0]) / radii[0]
    return columns, rows


def _inside(columns: Plane, rows: Plane, radius: float, power: float = 2.0) -> Plane:
    """1 inside the superellipse, 0 outside, one pixel soft; `radius` in pixels sets the softness."""
    distance = (np.abs(columns) ** power + np.abs(rows) ** power) ** (1 / power)
    return np.clip((1 - distance) * radius + 0.5, 0, 1).astype(np.float32)


def _ball(columns: Plane, rows: Plane, light: NDArray[np.float64], gloss: float) -> Plane:
    """Lambert shading and a highlight on an ellipsoid, float32 [height, width]."""
    depth = np.sqrt(np.clip(1 - columns**2 - rows**2, 0, 1))
    facing = np.clip(columns * light[0] + rows * light[1] + depth * light[2], 0, 1)
    return np.asarray(0.25 + 0.75 * facing + gloss * facing**20, np.float32)


def _towards_light(rng: np.random.Generator) -> NDArray[np.float64]:
    light = np.array([rng.normal(0, 0.6), rng.normal(-0.4, 0.4), rng.uniform(0.5, 1)])
    return np.asarray(light / np.linalg.norm(light), np.float64)


def _portrait(rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """Shoulders, hair, and a head with eyes, brows, nose and mouth."""
    reach = rng.uniform(0.12, 0.36) * min(height, width)
    tall = reach * rng.uniform(1.2, 1.45)
    x, y = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.6)
    light = _towards_light(rng)
    picture, matte = _nobody(rng, height, width)

    def add(colour: Plane, cover: Plane) -> None:
        nonlocal picture, matte
        picture = picture * (1 - cover[..., None]) + colour * cover[..., None]
        matte = np.maximum(matte, cover)

    skin = np.array([0.75, 0.48, 0.36], np.float32) * np.exp(rng.normal(-0.5, 0.45))
    skin = np.clip(skin * np.exp(rng.normal(0, 0.08, 3)), 0.02, 0.95).astype(np.float32)
    pores = np.exp(rng.uniform(0.01, 0.08) * power_law(rng, height, width, rng.uniform(0.5, 1.1)))
    blush = np.exp(0.06 * power_law(rng, height, width, 1.8))[..., None] ** np.array([0.3, 1, 1], np.float32)
    cloth = (
        palette(rng, 1)[0] * np.exp(0.2 * power_law(rng, height, width, 0.9, rng.uniform(0.3, 3)))[..., None]
    )
    hair = palette(rng, 1)[0] * 0.5 * np.exp(0.5 * power_law(rng, height, width, 0.9, 0.12))[..., None]

    around = _ellipse(height, width, (x, y + 2.3 * tall), (2.2 * reach, 1.3 * tall))
    add(cloth * _ball(*around, light, 0)[..., None], _inside(*around, reach, 2.5))
    around = _ellipse(height, width, (x, y - 0.15 * tall), (1.2 * reach, 1.15 * tall))
    add(hair * _ball(*around, light, 0.2)[..., None], _inside(*around, reach * rng.uniform(0.1, 1)))
    around = _ellipse(height, width, (x, y + 0.9 * tall), (0.5 * reach, 0.6 * tall))
    add(skin * (0.6 * pores)[..., None], _inside(*around, reach))
    face = _ellipse(height, width, (x, y), (reach, tall))
    nose = np.exp(-((face[0] / 0.13) ** 2) - ((face[1] - 0.1) / 0.3) ** 2)
    shade = _ball(*face, light, rng.uniform(0, 0.25)) * (
        1 + 0.25 * nose - 0.2 * np.roll(nose, int(reach / 8), 1)
    )
    add(skin * blush * (shade * pores)[..., None], _inside(*face, reach))
    for side in (-0.4, 0.4):
        white = _ellipse(height, width, (x + side * reach, y - 0.12 * tall), (0.2 * reach, 0.08 * tall))
        add(np.asarray(np.stack([0.6 * shade] * 3, axis=-1), np.float32), _inside(*white, reach / 8))
        iris = _ellipse(height, width, (x + side * reach, y - 0.12 * tall), (0.08 * reach, 0.08 * reach))
        add(palette(rng, 1)[0] * 0.3, _inside(*iris, reach / 12))
        brow = _ellipse(height, width, (x + side * reach, y - 0.3 * tall), (0.27 * reach, 0.05 * tall))
        add(hair, 0.8 * _inside(*brow, reach / 12))
    lips = _ellipse(height, width, (x, y + 0.5 * tall), (0.35 * reach, 0.08 * tall))
    add(skin * np.array([0.9, 0.5, 0.5], np.float32) * shade[..., None], _inside(*lips, reach / 10))
    return picture, matte


def _objects(rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """A few solid things: balls, boxes with round corners, printed or grained surfaces."""
    picture, matte = _nobody(rng, height, width)
    light = _towards_light(rng)
    for _ in range(int(rng.integers(1, 6))):
        size = rng.uniform(0.05, 0.3) * min(height, width)
        radii = (size * rng.uniform(0.7, 1.4), size * rng.uniform(0.7, 1.4))
        around = _ellipse(
            height, width, (width * rng.uniform(0.1, 0.9), height * rng.uniform(0.2, 0.9)), radii
        )
        cover = _inside(*around, size, float(np.exp(rng.uniform(0.5, 2))))
        surface = np.exp(rng.uniform(0, 0.4) * power_law(rng, height, width, *rng.uniform(0.5, 1.5, 2)))
        lit = palette(rng, 1)[0] * (surface * _ball(*around, light, rng.uniform(0, 1)))[..., None]
        picture = picture * (1 - cover[..., None]) + lit * cover[..., None]
        matte = np.maximum(matte, cover)
    return picture, matte


def _bytes(colour: Plane) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(colour * 255, 0, 255))
    return red, green, blue
