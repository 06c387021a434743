"""Rows of pictures stored by runs: mistakes, accepted outliers, corruptions and attacks."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.arrays import Arrays
from sdd_eval.evaluators.pictures import SEVERITY, Kind, Picture, stored_pictures
from sdd_eval.figures.selection import group_names, where
from sdd_eval.metrics.names import display_name
from sdd_eval.report.runs import RunCollection, StudyRun
from sdd_eval.report.tables.summary import ComparableResults, usable

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Maximum number of networks whose pictures are shown, and of pictures per row, by kind.
MAX_NETWORKS = 4
MAX_PICTURES: Mapping[Kind, int] = {"mistakes": 12, "outliers": 12, "corruption": 20, "attack": 12}
#: Kinds for which a page shows only one row, that of its first network.
ONCE: tuple[Kind, ...] = ("corruption", "attack")


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URI, with the text that replaces it.

    `name` is its true class, OOD set, corruption or attack, `prediction` the predicted class with
    its confidence, and `wrong` whether that is not the true class.
    """

    uri: str
    alt: str
    name: str
    prediction: str
    wrong: bool


@dataclass(frozen=True)
class PictureRow:
    """Pictures of one kind and one network."""

    title: str
    network: str
    part: ComparableResults
    pictures: tuple[Thumbnail, ...]


def picture_rows(
    parts: Sequence[ComparableResults], collection: RunCollection, arrays: Mapping[str, Arrays]
) -> list[PictureRow]:
    """Return the rows of pictures of the first network of each of the first groups.

    `arrays` are those of the runs by name. There are no rows if no run has stored pictures.
    """
    entries = {entry.name: entry for entry in collection.runs}
    networks = [network for part in parts for network in _networks(part, entries)][:MAX_NETWORKS]
    rows = []
    for kind, most in MAX_PICTURES.items():
        of_kind = []
        for part, name, runs in networks:
            entry, pictures = _of_kind(kind, runs, arrays)
            if entry is not None:
                share = 1 if kind in ONCE or len(networks) <= 2 else 2
                chosen = _chosen(pictures, most // share)
                thumbnails = tuple(_thumbnail(one, entry) for one in chosen)
                of_kind.append(PictureRow(_title(kind, entry), name, part, thumbnails))
        rows += of_kind[:1] if kind in ONCE else of_kind
    return rows


def _networks(
    part: ComparableResults, entries: Mapping[str, StudyRun]
) -> Iterator[tuple[ComparableResults, str, list[StudyRun]]]:
    """Yield the first network of each group as its name and its runs."""
    rows = usable(part.results)
    for group in group_names(rows):
        own = where(rows, group=group)
        checkpoints = own["checkpoint"].unique()
        first = where(own, checkpoint=checkpoints[0])
        name = str(group) if len(checkpoints) == 1 else f"{group}: {checkpoints[0]}"
        yield part, name, [entries[run] for run in first["run"].unique()]


def _of_kind(
    kind: Kind, runs: Sequence[StudyRun], arrays: Mapping[str, Arrays]
) -> tuple[StudyRun | None, list[Picture]]:
    """Return the first run with pictures of a kind, and the pictures; for attacks, of all runs."""
    first, pictures = None, dict[str, list[Picture]]()
    for entry in runs:
        own: dict[str, list[Picture]] = {}
        for picture in stored_pictures(arrays[entry.name], kind):
            own.setdefault(picture.condition, []).append(picture)
        if own and (first is None or kind == "attack"):
            first = first or entry
            pictures = {**own, **pictures}
    return first, [picture for of_condition in pictures.values() for picture in of_condition]


def _chosen(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """Return at most `most` pictures, equally many of each condition."""
    conditions = dict.fromkeys(picture.condition for picture in pictures)
    each = max(1, most // max(1, len(conditions)))
    chosen = []
    for condition in conditions:
        chosen += [picture for picture in pictures if picture.condition == condition][:each]
    return chosen[:most]


def _title(kind: Kind, entry: StudyRun) -> str:
    detectors = entry.run.settings.get("detectors") or [entry.run.evaluator]
    titles: Mapping[Kind, str] = {
        "mistakes": "Most confident mistakes",
        "outliers": f"Out-of-distribution images that {display_name(detectors[0])} accepts",
        "corruption": f"One test image under each corruption, severity {SEVERITY}",
        "attack": "One test image under each attack",
    }
    return titles[kind]


def _thumbnail(picture: Picture, entry: StudyRun) -> Thumbnail:
    names = entry.run.provenance.class_names or ()
    predicted, confidence = _class(picture.predicted, names), f"{100 * picture.confidence:.1f} %"
    true = None if picture.label is None else _class(picture.label, names)
    condition = display_name(picture.condition)
    if picture.kind == "mistakes":
        name, image = true or "", f"Test image {picture.row}, {true}"
    elif true is None:
        name, image = condition, f"Image {picture.row} of {condition}"
    else:
        name, image = condition, f"Test image {picture.row}, {true}, {condition}"
    return Thumbnail(
        uri=data_uri(picture.pixels),
        alt=f"{image}: predicted {predicted}, confidence {confidence}",
        name=name,
        prediction=f"as {predicted}, {confidence}".replace(" %", "\u00a0%"),
        wrong=true is not None and picture.predicted != picture.label,
    )


def _class(index: int, names: Sequence[str]) -> str:
    return str(names[index]) if index < len(names) else f"class {index}"


def data_uri(pixels: NDArray[Any]) -> str:
    """Return uint8 pixels (height, width, 1 or 3 channels) as a PNG in a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
