"""Every test process works with one thread, and keeps nothing outside its own folders.

And small sets of photographs, laid out as their publishers do.
"""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; several must not share cores
os.environ["SDD_EVAL_CACHE"] = "off"  # no test leaves anything in the user's folders

#: Sizes of the photographs, in turn: wide, tall and square.
SIZES = ((90, 60), (50, 80), (64, 64))


def photograph(path, number, classes=2, mode="RGB", **options):
    """Write a noisy photograph whose colour tells its class."""
    import numpy as np
    from PIL import Image

    width, height = SIZES[number % len(SIZES)]
    random = np.random.default_rng(number)
    pixels = random.integers(0, 120, (height, width, 3), dtype=np.uint8)
    pixels[..., number % classes % 3] += 100
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return width, height


@pytest.fixture(scope="session")
def write_cub():
    """Write `CUB_200_2011/`: so many images, of two kinds in turn, every third one for testing."""

    def write(root, count=12):
        place = root / "CUB_200_2011"
        kinds = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
        lists = {name: [] for name in ("images", "labels", "split", "boxes")}
        for number in range(count):
            name = f"{kinds[number % 2]}/{kinds[number % 2][4:]}_{number:04}.jpg"
            width, height = photograph(place / "images" / name, number, quality=95)
            lists["images"].append(f"{number + 1} {name}")
            lists["labels"].append(f"{number + 1} {number % 2 + 1}")
            lists["split"].append(f"{number + 1} {int(number % 3 != 2)}")
            lists["boxes"].append(f"{number + 1} 10.0 5.0 {width - 20}.0 {height - 15}.0")
        names = ("images", "image_class_labels", "train_test_split", "bounding_boxes")
        for name, lines in zip(names, lists.values(), strict=True):
            (place / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (place / "classes.txt").write_text("".join(f"{k + 1} {v}\n" for k, v in enumerate(kinds)))
        return place

    return write


@pytest.fixture(scope="session")
def write_dogs():
    """Write `stanford_dogs/`: so many dogs, of two breeds in turn, every third one for testing."""
    import numpy as np
    from scipy.io import savemat

    def cells(texts):
        column = np.empty((len(texts), 1), dtype=object)
        column[:, 0] = texts
        return column

    def write(root, count=12):
        place = root / "stanford_dogs"
        breeds = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel")
        files = [f"{breeds[n % 2]}/{breeds[n % 2][:9]}_{n}.jpg" for n in range(count)]
        for number, file in enumerate(files):
            width, height = photograph(place / "Images" / file, number, quality=95)
            box = f"<xmin>10</xmin><ymin>5</ymin><xmax>{width - 9}</xmax><ymax>{height}</ymax>"
            later = "<xmin>0</xmin><ymin>0</ymin><xmax>3</xmax><ymax>3</ymax>"
            objects = (
                f"<object><name>dog</name><bndbox>{b}</bndbox></object>" for b in (box, later)
            )
            path = (place / "Annotation" / file).with_suffix("")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"<annotation><size/>{''.join(objects)}</annotation>")
        for split in ("train", "test"):
            rows = [n for n in range(count) if (n % 3 == 2) == (split == "test")]
            content = {
                "file_list": cells([files[n] for n in rows]),
                "annotation_list": cells([files[n].removesuffix(".jpg") for n in rows]),
                "labels": np.array([[n % 2 + 1] for n in rows], dtype=np.uint8),
            }
            savemat(place / f"{split}_list.mat", content)
        return place

    return write


@pytest.fixture(scope="session")
def write_imagenet():
    """Write `imagenet/` as torchvision lays it out, with two classes."""

    def write(root, count=12):
        place = root / "imagenet"
        for number in range(count):
            split = "val" if number % 3 == 2 else "train"
            wnid = ("n01440764", "n01443537")[number % 2]
            photograph(place / split / wnid / f"{wnid}_{number}.JPEG", number, format="JPEG")
        return place

    return write
