"""A catalogue's claims, held against the data sets that are on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from agent.data.check.finding import Verdict, Weight
from agent.data.check.gate import DatasetReport, EpisodeReport, check_dataset
from agent.data.federated.catalogue import Catalogue, DataEntry
from robots.errors import DataError
from robots.replay.locate import locate


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Of one data set.

    Args:
        entry: As the catalogue has it, with the verdict.
        here: Whether it is on this machine; what isn't keeps the verdict it had.
        reasons: What is wrong with it, in words.
    """

    entry: DataEntry
    here: bool
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        verdict = None if self.entry.verdict is None else str(self.entry.verdict)
        return {
            "name": self.entry.name,
            "dataset": self.entry.dataset,
            "here": self.here,
            "verdict": verdict,
            "left_out": list(self.entry.left_out),
            "reasons": list(self.reasons),
        }


def judge(
    catalogue: Catalogue, *, told: Callable[[EpisodeReport], None] = lambda report: None
) -> Iterator[Judgement]:
    """Judge each data set, in the catalogue's order; nothing is changed.

    A data set of another size than claimed is REJECTED whatever its episodes are: it isn't the one
    that the catalogue means.

    Args:
        catalogue: What is claimed.
        told: Told of each episode when it was judged.
    """
    for entry in catalogue:
        try:
            root = locate(catalogue.where(entry))
        except DataError:
            yield Judgement(entry=entry, here=False)
            continue
        try:
            report = check_dataset(root, told=told)
        except DataError as error:
            rejected = replace(entry, verdict=Verdict.REJECTED)
            yield Judgement(entry=rejected, here=True, reasons=(str(error),))
            continue
        yield _judged(entry, report)


def judged(catalogue: Catalogue, judgements: list[Judgement]) -> Catalogue:
    """The catalogue with the verdicts filled in."""
    entries = [judgement.entry for judgement in judgements]
    clients = len(catalogue.clients)
    return replace(catalogue, clients=tuple(entries[:clients]), evaluation=tuple(entries[clients:]))


def _judged(entry: DataEntry, report: DatasetReport) -> Judgement:
    reasons = [
        f"has {there} {what}, the catalogue claims {claimed}"
        for what, claimed, there in (
            ("episodes", entry.episodes, len(report.episodes)),
            ("frames", entry.frames, report.info.frames),
        )
        if there != claimed
    ]
    verdict = Verdict.REJECTED if reasons else report.verdict
    reasons += [str(finding) for finding in report.findings if finding.weight is not Weight.NOTE]
    for episode in report.episodes:
        said = [str(finding) for finding in episode.findings if finding.weight is not Weight.NOTE]
        reasons += [f"episode {episode.index}: {'; '.join(said)}"] if said else []
    unclean = {e.index for e in report.episodes if e.verdict is not Verdict.CLEAN}
    left_out = tuple(sorted(n for n in unclean if n < entry.episodes))
    return Judgement(
        entry=replace(entry, verdict=verdict, left_out=left_out), here=True, reasons=tuple(reasons)
    )
