"""Which attacks an audit runs, and running them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from whodrew.audit.figures import answer_for_curves, figures_of
from whodrew.audit.gather import Gathered
from whodrew.audit.options import AuditOptions
from whodrew.audit.result import AttackResult, file_name
from whodrew.audit.sources import Embedded
from whodrew.errors import UsageError
from whodrew.identify.attack import Attack, attack
from whodrew.identify.curves import Curves, by_models, by_references
from whodrew.identify.knowledge import Knowledge, Prompts, Shown
from whodrew.identify.parallel import side_by_side
from whodrew.identify.problem import LARGE, Problem
from whodrew.identify.registry import get_identifier
from whodrew.identify.samples import Ints, Samples
from whodrew.measure.container import ContainerFigure

Said = Callable[[str], None]


@dataclass(frozen=True)
class View:
    """One encoder on one form of the images, with the references it is named by.

    Attributes:
        encoder: its name.
        canonical: side of the canonical form, or ``None``.
        embedded: the arena's embeddings.
        samples: the arena's samples.
        references: samples of another arena, sharing code books; ``None`` for the same.
        references_from: name of that arena.
        container: what size and format give away.
        leads: whether its figures come first: not the native form beside a canonical one.
    """

    encoder: str
    canonical: int | None
    embedded: Embedded
    samples: Samples
    references: Samples | None
    references_from: str | None
    container: ContainerFigure | None
    leads: bool = True

    @property
    def gathered(self) -> Gathered:
        """The arena's labelled embeddings."""
        return self.embedded.gathered


@dataclass(frozen=True)
class Job:
    """One attack to run.

    Attributes:
        view: what is attacked.
        problem: what is asked.
        identifier: name of what answers.
        shown: ways images are shown.
    """

    view: View
    problem: Problem
    identifier: str
    shown: tuple[Shown, ...]

    @property
    def words(self) -> str:
        """What it does, for people."""
        form = (
            ""
            if self.view.canonical is None
            else f" at {self.view.canonical}x{self.view.canonical}"
        )
        plain = "" if self.problem.knowledge.centred else " (plain)"
        origin = " from elsewhere" if self.view.references_from else ""
        return (
            f"naming by {self.view.encoder}{form}: {self.identifier}{plain}, "
            f"{self.problem.knowledge.prompts} prompts{origin}"
        )

    @property
    def slug(self) -> str:
        """Start of the names of its tables."""
        return file_name(
            self.view.encoder,
            f"c{self.view.canonical}" if self.view.canonical else "",
            self.identifier,
            "" if self.problem.knowledge.centred else "plain",
            self.problem.knowledge.prompts,
            "elsewhere" if self.view.references_from else "",
        )


def jobs_of(view: View, options: AuditOptions) -> list[Job]:
    """Returns the attacks on one view.

    Raises:
        UsageError: knowledge was asked for by name that this arena cannot give.
    """
    known = view.references if view.references is not None else view.samples
    queries = view.samples if view.references is not None else None
    shown = _shown(options, view.samples)
    jobs: list[Job] = []
    for prompts in _knowledge(options, known, separate=queries is not None):
        for name, centred in options.all_identifiers:
            knowledge = Knowledge(
                prompts=prompts,
                references="all" if options.per_cell is None else options.per_cell,
                centred=centred,
            )
            problem = Problem.build(known, queries, knowledge=knowledge, seed=options.seed)
            if problem.asked.any():
                jobs.append(Job(view, problem, name, shown))
            else:
                _refuse(problem, options)
    return jobs


def run_jobs(
    jobs: list[Job], options: AuditOptions, family: Ints | None, said: Said
) -> list[tuple[Attack, list[AttackResult]]]:
    """Runs attacks side by side; large ones also work on several prompts at once."""

    def run(job: Job) -> tuple[Attack, list[AttackResult]]:
        said(job.words)
        return run_job(job, options, family)

    return side_by_side(run, jobs)


def run_job(
    job: Job, options: AuditOptions, family: Ints | None
) -> tuple[Attack, list[AttackResult]]:
    """Runs one attack and measures it."""
    found = attack(job.problem, get_identifier(job.identifier))
    curves: dict[str, Curves] = {}
    small = len(job.problem.references) <= LARGE
    if options.curves or (options.curves is None and small and job.view.leads):
        curves["references"] = by_references(found, answer_for_curves)
        curves["models"] = by_models(found, answer_for_curves)
    identity = {
        "canonical": job.view.canonical,
        "encoder": job.view.encoder,
        "identifier": job.identifier,
        "references_from": job.view.references_from,
    }
    return found, figures_of(
        found,
        shown=job.shown,
        labels=job.view.gathered.table,
        family=family,
        hide_models=options.hide_models,
        false_alarm=options.false_alarm,
        identity=identity,
        slug=job.slug,
        curves=curves,
    )


def _knowledge(options: AuditOptions, samples: Samples, *, separate: bool) -> list[Prompts]:
    """Returns which knowledge to attack with; auto adds ``matched`` where cells repeat."""
    wanted: list[Prompts] = []
    for one in options.knowledge:
        if one == "auto":
            sizes = samples.cell_sizes
            cells = int((sizes > 0).sum())
            if len(samples.prompts) > 1:
                wanted.append("other")
            least = 1 if separate else 2
            if 2 * int((sizes >= least).sum()) >= cells:
                wanted.append("matched")
        else:
            wanted.append(one)
    return list(dict.fromkeys(wanted))


def _shown(options: AuditOptions, samples: Samples) -> tuple[Shown, ...]:
    wanted: list[Shown] = []
    several = (samples.cell_sizes > 0).sum(axis=1).max(initial=0) >= 2
    for one in options.shown:
        if one != "auto":
            wanted.append(one)
        else:
            wanted += ["any", "each-once"] if several else ["any"]
    return tuple(dict.fromkeys(wanted))


def _refuse(problem: Problem, options: AuditOptions) -> None:
    if problem.matched and "matched" in options.knowledge:
        raise UsageError(
            "--knowledge matched needs two distinct images or more in a (model, prompt) cell, "
            "and no cell has them: use --knowledge other, or draw more generations"
        )
    if not problem.matched and "other" in options.knowledge:
        raise UsageError(
            "--knowledge other needs references of other prompts, and there are none: "
            "use --knowledge matched, or add prompts"
        )
