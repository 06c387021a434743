"""Fixtures of all tests: one thread per process, and no files outside the test's own folders.

And made-up runs in the real format, small sets of photographs, laid out as their publishers do, and
a backbone of a detector.
"""

import gc
import importlib
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; several must not share cores
os.environ["SDD_EVAL_CACHE"] = "off"  # no test leaves anything in the user's folders


def pytest_collection_finish():
    """Let the garbage collector skip imported modules and collected tests, and run less often.

    It takes an eighth of the suite's time otherwise.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def synthetic():
    """Return the module that creates synthetic runs."""
    return of_reports("synthetic_runs")


@pytest.fixture(scope="session")
def whole_battery():
    """Return the module that creates full-size runs of all evaluators."""
    return of_reports("battery_runs")


def of_reports(name):
    """Return a module of tests/report that other tests use, too."""
    folder = str(Path(__file__).parent / "report")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


#: Sizes of the photographs, in turn: wide, tall and square.
SIZES = ((90, 60), (50, 80), (64, 64))


def photograph(path, number, classes=2, mode="RGB", **options):
    """Write a noisy photograph whose colour determines its class."""
    import numpy as np
    from PIL import Image

    width, height = SIZES[number % len(SIZES)]
    random = np.random.default_rng(number)
    pixels = random.integers(0, 120, (height, width, 3), dtype=np.uint8)
    pixels[..., number % classes % 3] += 100
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return width, height


@pytest.fixture
def only_svg(monkeypatch):
    """Draw figures only as SVG, the format of the page.

    To draw and write all of them takes twice as long; tests/report looks at every format.
    """
    from sdd_eval.report.drawing import draw

    monkeypatch.setattr(draw, "FORMATS", ("svg",))


@pytest.fixture
def one_figure(only_svg, monkeypatch):
    """Draw a single kind of figure as SVG, for tests of the rest of the report."""
    from sdd_eval.report import write
    from sdd_eval.report.drawing import draw

    def draw_reliability(names, *rest):
        assert "reliability" in names
        return draw.draw_figures(["reliability"], *rest)

    monkeypatch.setattr(write, "draw_figures", draw_reliability)


@pytest.fixture(scope="session")
def write_cub():
    """Write `CUB_200_2011/`: so many images, of two kinds in turn, every third one for testing."""

    def write(root, count=12):
        folder = root / "CUB_200_2011"
        kinds = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
        lists = {name: [] for name in ("images", "labels", "split", "boxes")}
        for number in range(count):
            name = f"{kinds[number % 2]}/{kinds[number % 2][4:]}_{number:04}.jpg"
            width, height = photograph(folder / "images" / name, number, quality=95)
            lists["images"].append(f"{number + 1} {name}")
            lists["labels"].append(f"{number + 1} {number % 2 + 1}")
            lists["split"].append(f"{number + 1} {int(number % 3 != 2)}")
            lists["boxes"].append(f"{number + 1} 10.0 5.0 {width - 20}.0 {height - 15}.0")
        names = ("images", "image_class_labels", "train_test_split", "bounding_boxes")
        for name, lines in zip(names, lists.values(), strict=True):
            (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (folder / "classes.txt").write_text("".join(f"{k + 1} {v}\n" for k, v in enumerate(kinds)))
        return folder

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
        folder = root / "stanford_dogs"
        breeds = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel")
        files = [f"{breeds[n % 2]}/{breeds[n % 2][:9]}_{n}.jpg" for n in range(count)]
        for number, file in enumerate(files):
            width, height = photograph(folder / "Images" / file, number, quality=95)
            box = f"<xmin>10</xmin><ymin>5</ymin><xmax>{width - 9}</xmax><ymax>{height}</ymax>"
            later = "<xmin>0</xmin><ymin>0</ymin><xmax>3</xmax><ymax>3</ymax>"
            objects = (
                f"<object><name>dog</name><bndbox>{b}</bndbox></object>" for b in (box, later)
            )
            path = (folder / "Annotation" / file).with_suffix("")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"<annotation><size/>{''.join(objects)}</annotation>")
        for split in ("train", "test"):
            rows = [n for n in range(count) if (n % 3 == 2) == (split == "test")]
            content = {
                "file_list": cells([files[n] for n in rows]),
                "annotation_list": cells([files[n].removesuffix(".jpg") for n in rows]),
                "labels": np.array([[n % 2 + 1] for n in rows], dtype=np.uint8),
            }
            savemat(folder / f"{split}_list.mat", content)
        return folder

    return write


@pytest.fixture(scope="session")
def write_imagenet():
    """Write `imagenet/` as torchvision lays it out, with two classes."""

    def write(root, count=12):
        folder = root / "imagenet"
        for number in range(count):
            split = "val" if number % 3 == 2 else "train"
            wnid = ("n01440764", "n01443537")[number % 2]
            photograph(folder / split / wnid / f"{wnid}_{number}.JPEG", number, format="JPEG")
        return folder

    return write


#: Ids of categories, not in a row, as COCO's are not; and the colour of each one's objects.
CATEGORIES = {3: "kite", 7: "boat"}
COLOURS = {3: (230, 40, 30), 7: (40, 80, 240)}

#: What is in each image: (category, left, top, width, height). The third has a box of one pixel,
#: the fourth nothing, the fifth a crowd next to an object.
OBJECTS: tuple = (
    [(3, 8, 10, 24, 20)],
    [(7, 30, 6, 20, 40), (3, 4, 40, 18, 16)],
    [(7, 20, 22, 1, 1), (3, 30, 28, 28, 30)],
    [],
    [(7, 6, 8, 30, 22)],
    [(3, 2, 2, 40, 16), (7, 22, 30, 36, 28)],
)
CROWDED = 4
CROWD = (7, 38, 34, 22, 24)


def annotated(objects):
    """The annotations of such images, in COCO's format."""
    images = [
        {"id": 100 + n, "file_name": f"{n:012}.png", "height": 64, "width": 64}
        for n in range(len(objects))
    ]
    boxes = [(n, item, 0) for n, of_image in enumerate(objects) for item in of_image]
    boxes.append((CROWDED, CROWD, 1))
    return {
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
        "annotations": [
            {
                "id": number,
                "image_id": 100 + n,
                "category_id": category,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            for number, (n, (category, *box), crowd) in enumerate(boxes)
        ],
    }


def draw(path, objects, number):
    """A noisy grey image with coloured rectangles."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(number).integers(90, 130, (64, 64, 3), dtype=np.uint8)
    for category, left, top, width, height in objects:
        pixels[top : top + height, left : left + width] = COLOURS[category]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def write_coco():
    """Write `NAME/` in COCO's layout; training and validation images are the same."""
    import json

    def write(root, name="shapes", objects=OBJECTS):
        content = annotated(objects)
        for split in ("train2017", "val2017"):
            for number, of_image in enumerate(objects):
                shown = [*of_image, CROWD] if number == CROWDED else of_image
                draw(root / name / split / f"{number:012}.png", shown, number)
            path = root / name / "annotations" / f"instances_{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        return root / name

    return write


@pytest.fixture(scope="session")
def write_backbone():
    """Write the checkpoint of an untrained classifier with batch statistics of noise."""
    import torch

    from sdd_eval import store
    from sdd_eval.checkpoints import checkpoint
    from sdd_eval.models.build import build
    from sdd_eval.records import Card, ModelSpec, Recipe

    def write(folder, arch="torchvision:resnet18", seed=3, **options):
        torch.manual_seed(0)
        spec = ModelSpec(arch, 2, (0.45, 0.45, 0.45), (0.25, 0.25, 0.25), 64, options)
        network = build(spec)
        with torch.no_grad():  # so that its batch norms, which are frozen then, standardise
            for _ in range(20):
                network(torch.rand(8, 3, 64, 64))
        folder.mkdir(parents=True)
        recipe = Recipe(dataset="cub200", arch=arch, sd_dropout=0.1, seed=seed)
        sha256 = checkpoint.write_weights(folder, network)
        store.write_record(folder / "card.json", Card(folder.name, spec, recipe, {}, sha256))
        return folder

    return write


#: What a process of `start_process` does before the code that it is given.
BEFORE = """
import os, sys
os.environ.update(environment)
sys.argv[1:] = arguments
if output:
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
exec(code, {"__name__": "__main__"})
"""


@pytest.fixture(scope="session")
def start_process():
    """Start code in another process, forked from one that has imported torch and the package.

    The first process takes as long as the imports, the others start at once.
    """
    context = multiprocessing.get_context("forkserver")
    third = ("torch._dynamo", "torch.distributed", "sklearn.datasets", "safetensors.torch")
    modules = ("training.train", "evaluation", "cli")
    context.set_forkserver_preload([*third, *(f"sdd_eval.{name}" for name in modules)])

    def start(code, *arguments, output=None, environment=()):
        given = {"code": code, "arguments": [*map(str, arguments)], "output": output}
        variables = {"OMP_NUM_THREADS": "1", "SDD_EVAL_CACHE": "off", **dict(environment)}
        process = context.Process(target=exec, args=(BEFORE, {**given, "environment": variables}))
        process.start()
        return process

    return start
