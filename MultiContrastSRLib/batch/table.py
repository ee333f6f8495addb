"""The table of a study: one row a subject (and session), as text, as `batch.tsv`, and what stands out among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from .records import FAILED, UNCHANGED, ImageRecord, Record

NAME = "batch.tsv"
_LEAST = 4  # images of a study, below which none of them stands out
_FAR = 3.0  # median absolute deviations below the median
_SHARE = 0.7  # of the median


def as_tsv(records: Sequence[Record]) -> str:
    """The table with tabs: a row a subject, in the order of `records`."""
    columns = (
        "participant_id\tsession_id\tstate\timages\tmessage\tremedy\twarnings\toutputs\tsimilarity\tdevice\tseconds\t"
        "started\thost\tlog"
    )
    return "\n".join([columns, *map(_row, records)]) + "\n"


def _row(record: Record) -> str:
    cells = [
        record.participant,
        record.session,
        record.state,
        f"{len(record.made)}/{len(record.images)}",
        record.message,
        record.remedy,
        " ".join(record.warnings),
        ",".join(image.output for image in record.images if image.output),
        ",".join(f"{image.similarity:.3f}" for image in record.images if image.similarity is not None),
        ",".join(dict.fromkeys(image.device for image in record.images if image.device)),
        f"{record.seconds:.1f}" if record.started else "",
        record.started,
        record.host,
        record.log,
    ]
    return "\t".join(" ".join(cell.split()) or "n/a" for cell in cells)


def with_outliers(records: Sequence[Record]) -> list[Record]:
    """`records` with a warning where target and reference are much less alike than those of the other subjects.

    A reference of another patient, or one whose orientation is wrong, often passes the checks of one pair of scans.

    >>> pairs = [ImageRecord("T2w", "T1w", similarity=0.8 + n / 100) for n in range(8)]
    >>> pairs.append(ImageRecord("T2w", "T1w", similarity=0.3))
    >>> [len(r.warnings) for r in with_outliers([Record(str(n), "", images=(i,)) for n, i in enumerate(pairs)])]
    [0, 0, 0, 0, 0, 0, 0, 0, 1]
    """
    alike: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        for image in record.images:
            if image.similarity is not None:
                alike[image.target, image.reference].append(image.similarity)
    limits = {pair: _limit(values) for pair, values in alike.items()}
    return [replace(record, images=tuple(_checked(image, limits) for image in record.images)) for record in records]


def _limit(values: Sequence[float]) -> tuple[float, float]:
    """(lowest similarity that does not stand out, median)."""
    middle = median(values)
    if len(values) < _LEAST:
        return 0.0, middle
    deviation = median(abs(value - middle) for value in values)
    return min(_SHARE * middle, middle - _FAR * deviation), middle


def _checked(image: ImageRecord, limits: dict[tuple[str, str], tuple[float, float]]) -> ImageRecord:
    if image.similarity is None:
        return image
    limit, middle = limits[image.target, image.reference]
    if image.similarity >= limit:
        return image
    sentence = (
        f"Similarity of target and reference (mutual information {image.similarity:.3f} nats) is far below the "
        f"study's median, {middle:.3f} nats. Check that both are scans of one patient, and their orientation."
    )
    return replace(image, warnings=(*image.warnings, sentence))


def as_text(records: Sequence[Record]) -> str:
    """Counts of states, and the failed and lost results with message and remedy, for a terminal."""
    states = [record.state for record in records]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    told = [record for record in records if record.message]
    lines = [f"{len(records)} subjects: {counts}"]
    if told:
        width = max(len(record.name) for record in told)
        lines += [f"{record.name:{width}}  {record.message} {record.remedy}" for record in told]
    return "\n".join(lines)


def brief(record: Record) -> str:
    """One line about a subject that is finished."""
    parts = [f"{record.name}: {record.state}"]
    if record.state == FAILED:
        parts.append(record.message)
    elif record.state != UNCHANGED:
        parts.append(f"{len(record.made)} image{'s' if len(record.made) > 1 else ''} in {record.seconds:.1f} s")
    if record.warnings:
        parts.append(f"{len(record.warnings)} warning{'s' if len(record.warnings) > 1 else ''}")
    return "; ".join(parts)
