"""Which attacks an audit runs, and running them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from whodrew.audit.figures import Asked, answer_for_curves, figures_of
from whodrew.audit.options import AuditOptions
from whodrew.audit.result import AttackResult, file_name
from whodrew.audit.views import Said, View
from whodrew.errors import UsageError
from whodrew.identify.attack import Attack, Names, attack
from whodrew.identify.curves import Curves, by_models, by_references
from whodrew.identify.fusion import FUSION, fuse, strongest
from whodrew.identify.knowledge import Knowledge, Prompts, Shown
from whodrew.identify.library import Library, pre_scaled
from whodrew.identify.parallel import side_by_side
from whodrew.identify.problem import Problem
from whodrew.identify.registry import get_identifier
from whodrew.identify.samples import Ints, Samples
from whodrew.measure.tally import Tally


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
    def weight(self) -> tuple[bool, bool, bool]:
        """Orders attacks by how long they take."""
        scatter = get_identifier(self.identifier).scatter
        return scatter, self.problem.matched, self.view.leads

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
    separate = view.references is not None
    if view.references is not None:
        known, queries = pre_scaled(view.references, view.samples)
    else:
        (known,) = pre_scaled(view.samples)
        queries = known
    shown = _shown(options, view.samples)
    jobs: list[Job] = []
    shared: dict[Any, Library] = {}
    for prompts in _knowledge(options, known, separate=separate):
        for name, centred in options.all_identifiers:
            knowledge = Knowledge(
                prompts=prompts,
                references="all" if options.per_cell is None else options.per_cell,
                centred=centred,
            )
            problem = Problem(known, queries, knowledge, options.seed, shared=shared)
            if problem.asked.any():
                jobs.append(Job(view, problem, name, shown))
            else:
                _refuse(problem, options)
    return jobs


@dataclass(frozen=True)
class Done:
    """An attack that was run.

    Attributes:
        view: what was attacked; the first of several encoders' where they are fused.
        found: the attack.
        results: its figures, one for each way images are shown.
        tally: what was counted of images named alone.
    """

    view: View
    found: Names
    results: list[AttackResult]
    tally: Tally


@dataclass(frozen=True)
class Setting:
    """What all attacks of an audit share.

    Attributes:
        options: what was asked for.
        family: (M,) family of each model, if known.
        spill: folder for tables too large to be held; ``None`` holds them.
        said: told what is being done.
    """

    options: AuditOptions
    family: Ints | None
    spill: Path | None
    said: Said


def run_jobs(jobs: list[Job], setting: Setting) -> list[Done]:
    """Runs attacks, small ones side by side; large ones work on several prompts at once."""

    def run(job: Job) -> Done:
        setting.said(job.words)
        found = attack(job.problem, get_identifier(job.identifier))
        return _measured(job, found, setting)

    if any(job.problem.large for job in jobs):
        for job in jobs:
            # the sums that any identifier needs hold those that the others do
            scatter = any(get_identifier(one.identifier).scatter for one in jobs)
            job.problem.library.prepare(scatter=scatter)
        done = [run(job) for job in jobs]
    else:
        # the long ones first, so that no thread is left with one at the end
        order = sorted(range(len(jobs)), key=lambda at: jobs[at].weight, reverse=True)
        found = side_by_side(run, [jobs[at] for at in order])
        done = [one for _, one in sorted(zip(order, found, strict=True), key=itemgetter(0))]
    return done + [_fused(view, members, setting) for view, members in _fusions(done)]


def _fusions(done: list[Done]) -> list[tuple[View, list[Attack]]]:
    """Returns for each form and knowledge the strongest attack of each of several encoders.

    The view is the first encoder's, under the names of all.
    """
    groups: dict[Any, tuple[View, dict[str, list[Attack]]]] = {}
    for one in done:
        if isinstance(one.found, Attack):
            key = (one.view.canonical, one.view.references_from, one.found.problem.matched)
            _, by_encoder = groups.setdefault(key, (one.view, {}))
            by_encoder.setdefault(one.view.encoder, []).append(one.found)
    return [
        (replace(view, encoder="+".join(by_encoder)), [*map(strongest, by_encoder.values())])
        for view, by_encoder in groups.values()
        if len(by_encoder) > 1
    ]


def _fused(view: View, members: list[Attack], setting: Setting) -> Done:
    problem = members[0].problem
    setting.said(f"fusing {view.encoder}: {problem.knowledge.prompts} prompts")
    job = Job(view, problem, FUSION, _shown(setting.options, view.samples))
    return _measured(job, fuse(members), setting)


def _measured(job: Job, found: Names, setting: Setting) -> Done:
    options = setting.options
    curves: dict[str, Curves] = {}
    small = not job.problem.large
    if options.curves or (options.curves is None and small and job.view.leads):
        curves["references"] = by_references(found, answer_for_curves)
        curves["models"] = by_models(found, answer_for_curves)
    asked = Asked(
        shown=job.shown,
        labels=job.view.gathered.labels,
        family=setting.family,
        hide_models=options.hide_models,
        false_alarm=options.false_alarm,
        identity={
            "canonical": job.view.canonical,
            "encoder": job.view.encoder,
            "identifier": job.identifier,
            "references_from": job.view.references_from,
        },
        slug=job.slug,
        spill=setting.spill,
    )
    return Done(job.view, found, *figures_of(found, asked, curves))


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
