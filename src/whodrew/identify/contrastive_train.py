"""Training a projection with the supervised contrastive loss, on prompts it did not see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whodrew.identify.library import Frame, Library
from whodrew.identify.metric import Matrix, Metric, movements, some, untrained
from whodrew.identify.samples import Floats, Ints, Mask

#: Largest change of a ridge, as a logarithm either way.
WIDEST = 4.0
#: Share of the means' products added to their diagonal: centred, they sum to nothing.
STEADY = 1e-2
#: Images a part lends at most.
MOST_LENT = 480
SMALL = 1e-9
NO_PROMPT = -1

#: Rows (b, D'), their models (b,) and prompts (b,).
Batch = tuple[Floats, Ints, Ints]


@dataclass(frozen=True)
class Training:
    """How the projection is trained. ``docs/contrastive.md`` says how the defaults were chosen.

    Attributes:
        strength: s of the metric: references a dimension that the ridge is worth at first.
        temperature: of the contrastive loss.
        rate: step of AdamW.
        decay: its weight decay, toward the untrained whitening.
        steps: at most; 0 leaves the whitening untrained.
        check: steps between looks at the held-out prompts.
        patience: looks without a gain after which it stops.
        parts: parts of the prompts; one is held out, each other is embedded by a whitening
            fitted without it.
        anchors: images a step, at most, not counting their copies.
        span: models from which the loss is taken where models differ, in the span of
            their means; fewer models leave too few directions.
        seed: seeds parts, images and views.
    """

    strength: float = 0.1
    temperature: float = 0.5
    rate: float = 0.05
    decay: float = 0.01
    steps: int = 30
    check: int = 5
    patience: int = 2
    parts: int = 4
    anchors: int = 120
    span: int = 8
    seed: int = 0


@dataclass
class Part:
    """Images of some prompts, seen through a whitening fitted without them.

    Attributes:
        metric: that whitening, untrained.
        kept: (D,) columns it is of.
        effects: (M, D') the models' means.
        known: (k,) codes of the models that have one.
        views: (1 + 2F, n, D') images and their copies, centred: as drawn; copies in the
            middle of images as drawn (only one image was changed); copies in the middle of
            copies alike (all images of the prompt were changed).
        model: (n,) their models.
        prompt: (n,) codes; images of one are compared with each other.
    """

    metric: Metric
    kept: Mask
    effects: Floats
    known: Ints
    views: Floats
    model: Ints
    prompt: Ints

    @property
    def able(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.model) > 0 and len(self.known) > 1 and bool(self.kept.any())

    def batch(self, rng: np.random.Generator, most: int) -> Batch:
        """Returns images, each form of copy once, and the k means, which have no prompt.

        A copy is in the middle of images as drawn, or of copies alike, at even odds.
        """
        chosen = some(np.arange(len(self.model)), most, rng)
        rows = [self.views[0][chosen]]
        for form in range((len(self.views) - 1) // 2):
            kind = rng.integers(2, size=len(chosen))
            rows.append(self.views[1 + 2 * form + kind, chosen])
        model, prompt = (np.tile(code[chosen], len(rows)) for code in (self.model, self.prompt))
        return (
            np.concatenate([*rows, self.effects[self.known]]),
            np.concatenate([model, self.known]),
            np.concatenate([prompt, np.full(len(self.known), NO_PROMPT)]),
        )


def supervised_contrastive(
    products: Any, model: Any, together: Any, anchors: int, temperature: float
) -> Any:
    """Returns the mean over anchors of the supervised contrastive loss.

    Equation 2 (L_out) of arXiv 2004.11362: for each anchor, the mean over its positives,
    which are the other rows of its model, of -log softmax of the cosine similarities to all
    other rows over the temperature. Anchors without a positive are left out.

    Args:
        products: (b, b) tensor of inner products.
        model: (b,) tensor of models.
        together: (b, b) tensor, true where a row (first) is compared with another.
        anchors: only the first so many rows are anchors; the others are compared with.
        temperature: positive.
    """
    import torch

    length = products.diagonal().clamp(min=SMALL).rsqrt()
    similar = products * length[:, None] * length[None] / temperature
    others = (together & ~torch.eye(len(products), dtype=torch.bool))[:anchors]
    similar = similar[:anchors].masked_fill(~others, -torch.inf)
    logs = similar - torch.logsumexp(similar, dim=1, keepdim=True)
    positive = (model[:anchors, None] == model[None]) & others
    counts = positive.sum(dim=1)
    logs = torch.where(positive, logs, torch.zeros(())).sum(dim=1)
    able = counts > 0
    return -(logs[able] / counts[able]).sum() / able.sum().clamp(min=1)


@dataclass(frozen=True)
class Learnt:
    """What was learnt without some prompts.

    Attributes:
        logs: (D,) logarithms of the ridges.
        moved: (D, D) what copies move, or (0, 0).
    """

    logs: Floats
    moved: Matrix

    def metric(
        self,
        library: Library,
        frame: Frame,
        without: frozenset[int],
        training: Training,
    ) -> Metric:
        """Returns the metric fitted without some prompts, ridges as learnt."""
        whole = untrained(library, frame, without, self.moved, training.strength)
        return replace(whole, logs=self.logs[frame.kept])


def learnt(
    library: Library, without: frozenset[int], training: Training, *, matched: bool
) -> Learnt:
    """Returns what can be learnt without some prompts, trained on the prompts that are left.

    They are dealt into ``parts``. The first is held out: nothing that is trained sees it,
    and the step with the least loss on it is kept, the untrained whitening if none is
    better. Each other part lends its images to the loss through a whitening fitted without
    it and without the held-out part, since images a whitening was fitted on say nothing of
    how it treats others.

    With fewer prompts than parts, or fewer than two models, nothing is trained.

    Args:
        library: references.
        without: prompts left out.
        training: how.
        matched: whether images are compared with those of their own prompt.
    """
    none = np.zeros(library.samples.dimension, dtype=np.float32)
    moved = movements(library, without, training.seed)
    rng = np.random.default_rng([training.seed, 6])
    prompts = rng.permutation(sorted(library.filled - without))
    if len(prompts) < training.parts or training.steps < 1:
        return Learnt(none, moved)
    dealt = [frozenset(prompts[at :: training.parts].tolist()) for at in range(training.parts)]
    held = _part(library, without | dealt[0], dealt[0], training, matched=matched)
    lent = [
        _part(library, without | dealt[0] | own, own, training, matched=matched)
        for own in dealt[1:]
    ]
    lent = [part for part in lent if part.able]
    if not held.able or not lent:
        return Learnt(none, moved)
    span = not matched and all(len(part.known) >= training.span for part in (held, *lent))
    return Learnt(_optimised(held, lent, training, span=span, rng=rng), moved)


def _optimised(
    held: Part,
    lent: list[Part],
    training: Training,
    *,
    span: bool,
    rng: np.random.Generator,
) -> Floats:
    """Returns the (D,) logarithms of least loss on the held-out part."""
    import torch

    exam = held.batch(rng, training.anchors)
    logs = torch.zeros(len(held.kept), dtype=torch.float32)
    best = logs.numpy().copy()
    least, _ = loss_and_slope(held, exam, best, training, span=span)
    optimiser = torch.optim.AdamW([logs], lr=training.rate, weight_decay=training.decay)
    stale = 0
    for step in range(training.steps):
        part = lent[step % len(lent)]
        batch = part.batch(rng, training.anchors)
        _, slope = loss_and_slope(part, batch, logs.numpy(), training, span=span)
        logs.grad = torch.from_numpy(slope)
        optimiser.step()
        logs.clamp_(-WIDEST, WIDEST)
        if (step + 1) % training.check:
            continue
        loss, _ = loss_and_slope(held, exam, logs.numpy(), training, span=span)
        if loss < least:
            best, least, stale = logs.numpy().copy(), loss, 0
            continue
        stale += 1
        if stale == training.patience:
            break
    return best


def loss_and_slope(
    part: Part,
    batch: Batch,
    logs: Floats,
    training: Training,
    *,
    span: bool,
) -> tuple[float, Floats]:
    """Returns the loss of a batch and its (D,) derivative in the logarithms of the ridges.

    torch differentiates the loss in the rows' products; those are differentiated in the
    ridges by hand (``Metric.slope``), which costs no second factorisation.
    """
    import torch

    rows, model, prompt = batch
    means = len(part.known)
    metric = replace(part.metric, logs=logs[part.kept])
    solved = metric.solve(rows)
    products = torch.tensor(rows @ solved, requires_grad=True)
    seen = _in_span(products, means) if span else products
    together = (prompt[:, None] == prompt) | (prompt == NO_PROMPT)
    loss = supervised_contrastive(
        seen,
        torch.from_numpy(model),
        torch.from_numpy(together),
        len(rows) - means,
        training.temperature,
    )
    (pull,) = torch.autograd.grad(loss, products)
    slope = np.zeros(len(part.kept), dtype=np.float32)
    slope[part.kept] = metric.slope(solved, pull.numpy())
    return float(loss.detach()), slope


def _in_span(products: Any, means: int) -> Any:
    """Returns the products of rows projected on the span of the last ``means`` rows."""
    import torch

    across = products[:, -means:]
    own = across[-means:]
    lift = STEADY * own.diagonal().mean()
    return across @ torch.linalg.solve(own + lift * torch.eye(means), across.T)


def _part(
    library: Library,
    without: frozenset[int],
    own: frozenset[int],
    training: Training,
    *,
    matched: bool,
) -> Part:
    """Returns the images of ``own`` prompts, through a whitening without ``without``."""
    frame = library.frame(without, scatter=True)
    samples = library.samples
    none = np.empty((0, int(frame.kept.sum())), dtype=np.float32)
    views = [[none] for _ in range(1 + 2 * len(samples.copies))]
    chosen = [np.empty(0, dtype=np.int64)]
    for prompt in sorted(own):
        if sum(map(len, chosen)) >= MOST_LENT:
            break
        where = samples.rows(prompt)
        rows = np.arange(where.start, where.stop)
        rows = rows[samples.is_reference[rows] & frame.known[samples.model[rows]]]
        if len(rows) == 0:
            continue
        drawn = frame.scaled(samples.vectors[rows])
        centre = _centre(frame, drawn)
        views[0].append(drawn - centre)
        for form, copy in enumerate(samples.copies):
            changed = frame.scaled(copy[rows])
            views[1 + 2 * form].append(changed - centre)
            views[2 + 2 * form].append(changed - _centre(frame, changed))
        chosen.append(rows)
    rows = np.concatenate(chosen)
    moved = movements(library, without, training.seed)
    return Part(
        metric=untrained(library, frame, without, moved, training.strength),
        kept=frame.kept,
        effects=frame.effects,
        known=np.flatnonzero(frame.known),
        views=np.stack([np.concatenate(view) for view in views]),
        model=samples.model[rows],
        prompt=samples.prompt[rows] if matched else np.zeros(len(rows), dtype=np.int64),
    )


def _centre(frame: Frame, shown: Floats) -> Floats:
    """Returns (D',) the mean of what is shown, drawn toward the global mean."""
    share = np.float32(len(shown) / (len(shown) + frame.kappa))
    return np.asarray(frame.grand + share * (shown.mean(axis=0) - frame.grand))
