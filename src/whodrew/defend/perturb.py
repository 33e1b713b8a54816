"""``perturb``: each picture changed by projected gradient, so that encoders see another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

from whodrew.defend.base import Example, Shown, State
from whodrew.defend.perturb_goals import NORMS, OBJECTIVES, decoy_rows, goals, named
from whodrew.defend.perturb_learn import Learnt
from whodrew.defend.picture import Picture
from whodrew.defend.plain import check
from whodrew.encoders.registry import ENCODERS
from whodrew.errors import UsageError


def checked(name: str, eps: float, norm: str, objective: str, encoders: str) -> None:
    """Refuses settings that no adversarial stage can have.

    Raises:
        UsageError: one is out of range, or names what is not known.
        MissingExtraError: an encoder needs modules that are not installed.
    """
    if norm not in NORMS:
        raise UsageError(f"{name}(norm={norm}): norm is none of {', '.join(NORMS)}")
    # pixels are whole numbers: a largest change below one is none
    check(f"{name} eps", eps, 1 if norm == "linf" else 0.1, 64, "255ths")
    if objective not in OBJECTIVES:
        raise UsageError(
            f"{name}(objective={objective}): objective is none of {', '.join(OBJECTIVES)}"
        )
    if not named(encoders):
        raise UsageError(f"{name}(encoders={encoders}): name one, or several joined by |")
    for one in named(encoders):
        ENCODERS.check(one)


def budget_of(eps: float, norm: str) -> dict[str, float | int | str]:
    """Returns a budget in its unit."""
    return {"max_of_255": eps} if norm == "linf" else {"rms_of_255": eps}


@dataclass(frozen=True)
class Perturb:
    """Changes a picture within a budget so that encoders take it for another model's.

    Projected gradient descent through one encoder or several, whose normalised losses are
    added. The change is never larger than the budget, counted in whole 255ths on the picture
    as the stage gets it; what JPEG adds later is not in it.

    Attributes:
        eps: largest change in 255ths; for ``l2`` the root mean square over all values.
        norm: ``linf`` or ``l2``.
        steps: of the descent.
        encoders: names joined by ``|``.
        objective: toward the centroid of a ``decoy`` drawn under the secret, ``away`` from
            the own model's, toward the ``crowd``'s mean (of the prompt where it was seen in
            fit, else of the arena), or ``contrastive`` (least like the own references).
        restarts: descents from other beginnings, the best of which is kept.
        eot: whether steps see random re-encodings (expectation over transformations,
            Athalye et al., arXiv 1707.07397), so that JPEG does not undo the change.
        decoys: models that ``decoy`` draws from, joined by ``|``; all when empty, the
            picture's own among them.
    """

    eps: float = 4.0
    norm: str = "linf"
    steps: int = 20
    encoders: str = "efficientnet-lite0|fingerprint"
    objective: str = "decoy"
    restarts: int = 1
    eot: bool = True
    decoys: str = ""
    _learnt: Learnt | None = field(default=None, repr=False, compare=False)
    name: ClassVar[str] = "perturb"
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked(self.name, self.eps, self.norm, self.objective, self.encoders)
        check("perturb steps", self.steps, 1, 10_000, "steps")
        check("perturb restarts", self.restarts, 1, 100, "restarts")
        if self.decoys and self.objective != "decoy":
            raise UsageError(
                f"perturb(decoys={self.decoys}): decoys are for objective=decoy, "
                f"not {self.objective}"
            )

    @property
    def sees(self) -> tuple[str, ...]:
        """The encoders it is found through."""
        return named(self.encoders)

    @property
    def budget(self) -> dict[str, float | int | str]:
        """Largest change, or root mean square, of 255."""
        return budget_of(self.eps, self.norm)

    @property
    def fitted(self) -> bool:
        """Whether it has seen the arena."""
        return self._learnt is not None

    def fit(self, examples: Callable[[], Iterable[Example]]) -> Perturb:
        """Returns the stage with the centroids of models and prompts learnt, in one pass.

        Raises:
            UsageError: an encoder has no gradients, a decoy is not there, or there are fewer
                than two models.
        """
        from whodrew.defend.torch_learn import learn

        learnt = learn(examples, named(self.encoders), eot=self.eot)
        decoy_rows(learnt, self.decoys)
        return replace(self, _learnt=learnt)

    def state(self) -> State:
        """Returns what was learnt, as arrays."""
        return self._known.state()

    def with_state(self, state: State) -> Perturb:
        """Returns the stage as ``fit`` left it.

        Raises:
            InputError: the arrays are damaged.
        """
        return replace(self, _learnt=Learnt.of_state(state))

    @property
    def _known(self) -> Learnt:
        if self._learnt is None:
            raise UsageError("perturb must see the arena first: fit it, or load its profile")
        return self._learnt

    def __call__(self, picture: Picture, shown: Shown) -> Picture:
        """Returns the changed picture; the same for the same generator.

        Raises:
            UsageError: the objective needs the picture's model, which is not given or was
                not seen in fit.
        """
        learnt, rng = self._known, shown.rng
        wanted = goals(
            learnt,
            self.objective,
            model=shown.model,
            prompt_id=shown.prompt_id,
            decoys=decoy_rows(learnt, self.decoys),
            rng=rng,
        )
        from whodrew.defend.torch_descent import Descent, Norm
        from whodrew.defend.torch_encoders import all_differentiable, run
        from whodrew.defend.torch_goals import seen

        parts = seen(all_differentiable(learnt.encoders), learnt.spaces, wanted)
        descent = Descent(self.eps, cast(Norm, self.norm), self.steps, self.restarts, self.eot)
        return Picture.of(run(lambda: descent(picture.pixels, parts, rng)))
