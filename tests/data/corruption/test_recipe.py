"""Each corruption equals a plain version for one image, written from the protocol's table.

The plain versions take the same random draws and work in float64, pixel by pixel where they can.
"""

import colorsys
import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sdd_eval.data.corruption.blur import zoom_axis
from sdd_eval.data.corruption.frost import frost_definition
from sdd_eval.data.corruption.recipe import _definition, corrupt
from sdd_eval.metrics.corruption import NINETEEN
from sdd_eval.randomness import derived_seed

TABLE = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": (1.06, 1.11, 1.15, 1.20, 1.25),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": (
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1),
        (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ),
}


def gaussian_noise(x, c, noise):
    return x + c * noise


def shot_noise(x, c, photons):
    return photons / c


def impulse_noise(x, c, chance):
    return np.where(chance < c / 2, 0.0, np.where(chance < c, 1.0, x))


def speckle_noise(x, c, noise):
    return x + x * c * noise


def gaussian(x, sigma):
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        pads = [(reach, reach) if a == axis else (0, 0) for a in range(x.ndim)]
        padded = np.pad(x, pads, mode="edge")
        x = sum(
            w * np.take(padded, range(i, i + x.shape[axis]), axis) for i, w in enumerate(weights)
        )
    return x


def gaussian_blur(x, c):
    return gaussian(x, c)


def defocus_blur(x, c):
    radius, alias = c
    kernel = np.zeros((17, 17))
    for row in range(17):
        for column in range(17):
            kernel[row, column] = (row - 8) ** 2 + (column - 8) ** 2 <= radius**2
    kernel /= kernel.sum()
    taps = np.exp(-(np.array([-1, 0, 1]) ** 2) / (2 * alias**2))
    taps /= taps.sum()
    kernel = ndimage.correlate(kernel, np.outer(taps, taps), mode="constant")
    return np.stack([ndimage.correlate(x[..., k], kernel, mode="mirror") for k in range(3)], -1)


def glass_blur(x, c, offsets):
    sigma, delta, rounds = c
    pixels = np.floor(gaussian(x, sigma) * 255 + 5e-4)
    for step in range(rounds):
        for row in range(32 - delta, delta, -1):
            for column in range(32 - delta, delta, -1):
                down, right = offsets[step, :, row, column]
                pixels[row, column] = pixels[row + down, column + right]
    return gaussian(pixels / 255, sigma)


def motion(x, radius, sigma, degrees):
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    blurred = np.zeros_like(x)
    for i, weight in enumerate(weights):
        right = math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
        down = math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
        for row in range(32):
            for column in range(32):
                source = x[min(max(row + down, 0), 31), min(max(column + right, 0), 31)]
                blurred[row, column] += weight / sum(weights) * source
    return blurred


def motion_blur(x, c, degrees):
    return motion(x, *c, degrees)


def centre_zoom(x, factor):
    cut = math.ceil(32 / factor)
    top = (32 - cut) // 2
    large = ndimage.zoom(x[top : top + cut, top : top + cut], (factor, factor, 1), order=1)
    trim = (len(large) - 32) // 2
    return large[trim : trim + 32, trim : trim + 32]


def zoom_blur(x, c):
    zooms = np.arange(1, c + 0.005, 0.01)  # of which the last is a little above 1.25
    return (x + sum(centre_zoom(x, zoom) for zoom in zooms)) / (len(zooms) + 1)


def grey(x):
    return (x @ [0.299, 0.587, 0.114])[..., None]


def snow(x, c, layer, degrees):
    loc, scale, zoom, threshold, radius, sigma, blend = c
    flakes = centre_zoom(loc + scale * layer, zoom)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    flakes = motion(flakes, radius, sigma, degrees)
    x = blend * x + (1 - blend) * np.maximum(x, 1.5 * grey(x) + 0.5)
    return x + flakes + np.rot90(flakes, 2)


def frost(x, c, piece):
    return c[0] * x + c[1] * piece


def plasma(numbers, decay):
    """Diamond-square, a point at a time, on a 32 × 32 torus."""
    numbers = iter(numbers)
    height, step, strength = {(0, 0): 0.0}, 32, 1.0
    while step > 1:
        half, corners = step // 2, range(0, 32, step)
        for row in corners:
            for column in corners:
                square = [(row + a, column + b) for a in (0, step) for b in (0, step)]
                height[row + half, column + half] = mean(height, square) + strength * next(numbers)
        for shift_row, shift_column in ((0, half), (half, 0)):
            for row in corners:
                for column in corners:
                    y, x = row + shift_row, column + shift_column
                    diamond = [(y - half, x), (y + half, x), (y, x - half), (y, x + half)]
                    height[y, x] = mean(height, diamond) + strength * next(numbers)
        step, strength = half, strength / decay**2
    field = np.array([[height[row, column] for column in range(32)] for row in range(32)])
    return (field - field.min()) / (field.max() - field.min())


def mean(height, points):
    return sum(height[row % 32, column % 32] for row, column in points) / 4


def fog(x, c, numbers):
    return (x + c[0] * plasma(numbers, c[1])[..., None]) * x.max() / (x.max() + c[0])


def per_pixel_hsv(x, change):
    out = np.zeros_like(x)
    for row in range(32):
        for column in range(32):
            out[row, column] = colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*x[row, column])))
    return out


def brightness(x, c):
    return per_pixel_hsv(x, lambda h, s, v: (h, s, min(v + c, 1)))


def saturate(x, c):
    return per_pixel_hsv(x, lambda h, s, v: (h, min(max(s * c[0] + c[1], 0), 1), v))


def contrast(x, c):
    means = np.array([x[..., k].mean() for k in range(3)])
    return (x - means) * c + means


def elastic_transform(x, c, moves, field):
    alpha, sigma, jitter = (32 * share for share in c)
    before = np.array([[26, 26], [26, 6], [6, 6]], dtype=float)
    after = before + jitter * moves
    # Solve, for each of the two coordinates, a x' + b y' + c = x over the three points.
    system = np.column_stack([after, np.ones(3)])
    back_x, back_y = np.linalg.solve(system, before[:, 0]), np.linalg.solve(system, before[:, 1])
    rows, columns = np.mgrid[:32, :32]
    coordinates = np.stack([columns, rows, np.ones((32, 32))], -1)
    x = sampled(x, coordinates @ back_y, coordinates @ back_x, "mirror")
    if alpha == 0:
        return x
    right, down = (
        ndimage.gaussian_filter(part.astype(float), sigma, mode="reflect", truncate=3) * alpha
        for part in field
    )
    return sampled(x, rows + down, columns + right, "reflect")


def sampled(x, rows, columns, mode):
    planes = [
        ndimage.map_coordinates(x[..., k], [rows, columns], order=1, mode=mode) for k in range(3)
    ]
    return np.stack(planes, -1)


def pixelate(x, c):
    image = Image.fromarray(np.rint(x * 255).astype(np.uint8))
    small = image.resize((int(32 * c), int(32 * c)), Image.Resampling.BOX)
    return np.asarray(small.resize((32, 32), Image.Resampling.BOX)) / 255


def jpeg_compression(x, c):
    buffer = io.BytesIO()
    Image.fromarray(np.rint(x * 255).astype(np.uint8)).save(buffer, "JPEG", quality=c)
    return np.asarray(Image.open(buffer)) / 255


def crest(around, gx, gy):
    here, angle = around[1, 1], math.degrees(math.atan2(abs(gy), abs(gx)))
    if angle < 22.5:
        return here > around[1, 0] and here >= around[1, 2]
    if angle > 67.5:
        return here > around[0, 1] and here >= around[2, 1]
    if (gx < 0) != (gy < 0):
        return here > max(around[0, 2], around[2, 0])
    return here > max(around[0, 0], around[2, 2])


def canny(levels):
    levels = np.pad(levels.astype(int), 1, mode="edge")
    across, down = np.zeros((32, 32), int), np.zeros((32, 32), int)
    for row in range(32):
        for column in range(32):
            window = levels[row : row + 3, column : column + 3]
            across[row, column] = ((window[:, 2] - window[:, 0]) * [1, 2, 1]).sum()
            down[row, column] = ((window[2] - window[0]) * [1, 2, 1]).sum()
    strength = np.pad(abs(across) + abs(down), 1)
    weak = {}
    for row in range(32):
        for column in range(32):
            gx, gy = across[row, column], down[row, column]
            here = strength[row + 1, column + 1]
            if here > 50 and crest(strength[row : row + 3, column : column + 3], gx, gy):
                weak[row, column] = here
    edges, todo = (
        np.zeros((32, 32), bool),
        [coordinates for coordinates in weak if weak[coordinates] > 150],
    )
    while todo:
        row, column = todo.pop()
        if not edges[row, column]:
            edges[row, column] = True
            near = [(row + a, column + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
            todo += [coordinates for coordinates in near if coordinates in weak]
    return edges


def box(layer):
    padded = np.pad(layer.astype(float), 1, mode="reflect")
    return sum(padded[a : a + 32, b : b + 32] for a in range(3) for b in range(3)) / 9


def equalise(levels):
    counts = np.bincount(levels.ravel(), minlength=256)
    first = next(count for count in counts if count)
    if first == levels.size:
        return levels
    return np.rint((np.cumsum(counts) - first) * 255 / (levels.size - first))[levels]


def spatter(x, c, layer):
    loc, scale, sigma, threshold, strength, mud = c
    liquid = gaussian(loc + scale * layer[..., 0].astype(float), sigma)
    liquid[liquid < threshold] = 0
    if mud:
        seen = gaussian((liquid > threshold).astype(float), strength)
        seen[seen < 0.8] = 0
        seen = seen[..., None]
        return x * (1 - seen) + np.array([63, 42, 20]) / 255 * seen
    levels = np.clip(liquid * 255, 0, 255).astype(np.uint8)
    places = np.argwhere(canny(levels))
    distance = np.full((32, 32), 20.0)
    for row in range(32):
        for column in range(32):
            if len(places):
                nearest = np.hypot(*(places - [row, column]).T).min()
                distance[row, column] = min(20, nearest)
    relief = np.pad(equalise((box(distance) + 5e-4).astype(np.uint8)), 1, mode="reflect")
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    lit = sum(light[a, b] * relief[a : a + 32, b : b + 32] for a in range(3) for b in range(3))
    seen = levels * np.rint(box(np.clip(lit, 0, 255)))
    seen = seen / max(seen.max(), 1) * strength
    return x + np.array([175, 238, 238]) / 255 * seen[..., None]


def draws_of(corruption, severity, image, index, seed):
    """Return the random numbers that the recipe draws for an image."""
    definition = frost_definition(None, 32) if corruption == "frost" else None
    definition = definition or _definition(corruption, 32, None)
    if definition.draw is None:
        return ()
    key = derived_seed(seed, f"corruption/{corruption}", severity)
    random = np.random.Generator(np.random.Philox(key=key, counter=index << 128))
    floats = np.divide(image, 255, dtype=np.float32)
    return definition.draw(random, floats, TABLE[corruption][severity - 1])


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("corruption", NINETEEN)
def test_a_corruption_equals_the_reference_table(corruption, severity, photos):
    # An odd number of images, one of them flat and one black.
    images = photos[[1, 4, 8]].copy()
    images[2, :10] = 0
    images[2, 10:20] = 200
    corrupted = corrupt(images, corruption, severity, seed=3, indices=np.array([7, 0, 2**31]))
    for row, index in enumerate((7, 0, 2**31)):
        draws = draws_of(corruption, severity, images[row], index, 3)
        plain = globals()[corruption](images[row] / 255, TABLE[corruption][severity - 1], *draws)
        expected = np.floor(np.clip(plain, 0, 1) * 255 + 5e-4)
        apart = np.abs(corrupted[row].astype(int) - expected)
        assert apart.max() <= 1
        assert (apart == 0).mean() > 0.99
        assert (corrupted[row] != images[row]).any()


def test_the_last_zoom_of_severity_5_is_to_33_pixels_as_by_the_floats_of_the_original():
    last = np.arange(1, 1.26, 0.01)[-1]
    assert round(26 * last) == 33
    assert round(26 * 1.25) == 32
    image = np.random.default_rng(0).random((32, 32, 1)).astype(np.float32)
    axis = zoom_axis(32, 32, float(last))
    zoomed = np.einsum("ri,cj,ijk->rck", axis, axis, image)
    np.testing.assert_allclose(zoomed, centre_zoom(image, last), atol=1e-5)
