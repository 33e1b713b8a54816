"""Folder layouts: which level names the model, which the prompt."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from whodrew.arena.beside import MODELS_FILE, PROMPTS_FILE, VOTES_FILES, Beside, read_beside
from whodrew.arena.labels import count, listed, nfc
from whodrew.arena.model import Arena, BadItem
from whodrew.arena.rows import Rows, build_arena
from whodrew.arena.tree import Cell, Tree
from whodrew.errors import InputError

MODEL_FIRST = "model/prompt"
PROMPT_FIRST = "prompt/model"


def read_folders(tree: Tree, source: str, layout: str | None) -> Arena:
    """Reads ``<model>/<prompt_id>/<seed>.<ext>`` or ``<prompt_id>/<model>/<seed>.<ext>``.

    One level less, ``<model>/<prompt_id>.<ext>`` and ``<prompt_id>/<model>.<ext>``, is
    read where ``layout`` or the tables beside the images say which it is; it is never
    guessed, for it cannot be told from a folder given one level too low.

    Args:
        tree: what the folder holds; some folder in it holds images.
        source: what the user gave.
        layout: ``model/prompt``, ``prompt/model``, or ``None`` to find out.

    Raises:
        InputError: the images do not lie at a depth that is read.
    """
    beside = read_beside(tree.root)
    notes: list[str] = []
    bad: list[BadItem] = [
        BadItem(name, "lies outside of the folders of models and prompts") for name in tree.loose
    ]
    flat = not tree.cells
    if flat:
        cells = _flat_cells(tree)
        if not cells:
            raise InputError(_wrong_depth(tree))
        lower: Iterable[str] = (PurePath(cell.sub).stem for cell in cells)
    else:
        cells = tree.cells
        lower = (cell.sub for cell in cells)
        bad += [
            BadItem(f"{top}/{name}", "lies one folder too high, in no cell")
            for top, names in tree.shallow.items()
            for name in names
        ]
    bad += [
        BadItem(folder, f"{count(found, 'image')} one folder too deep, not read")
        for folder, found in tree.deep.items()
    ]
    chosen, said = choose_layout({cell.top for cell in cells}, set(lower), beside, layout)
    if chosen is None:
        if flat:
            raise InputError(_wrong_depth(tree))
        chosen = MODEL_FIRST
    if flat:
        said.append(f"images lie one folder deep: read as {_flat_shape(chosen)}")
    notes += said
    notes += _left_aside(tree)
    rows = _flat_rows(tree, cells, chosen, beside) if flat else _rows(tree, chosen, beside)
    return build_arena(rows, beside, source=source, layout=chosen, bad=bad + tree.bad, notes=notes)


def choose_layout(
    upper: set[str], lower: set[str], beside: Beside, layout: str | None
) -> tuple[str | None, list[str]]:
    """Decides which level of folders is which.

    Each reading scores the share of names on each level that the tables beside the
    images confirm; the higher score is taken.

    Args:
        upper: names on the first level.
        lower: names on the second.
        beside: the tables beside the images.
        layout: what the user says, which always wins.

    Returns:
        The layout, ``None`` where nothing speaks for either; and what has to be said.
    """
    up = {nfc(name) for name in upper}
    low = {nfc(name) for name in lower}
    forward = _share(up, beside.models) + _share(low, beside.listed_prompts)
    backward = _share(low, beside.models) + _share(up, beside.listed_prompts)
    if layout is not None:
        named = forward if layout == MODEL_FIRST else backward
        if max(forward, backward) > named:
            return layout, [f"layout {layout} as asked, though the tables beside say otherwise"]
        return layout, []
    tables = " and ".join(
        name
        for name, known in (
            (MODELS_FILE, beside.models),
            (PROMPTS_FILE, beside.listed_prompts),
        )
        if known
    )
    if forward == backward:
        why = (
            f"names in {tables} fit both levels of folders alike"
            if forward
            else f"names in {tables} fit no folder"
            if tables
            else f"no {PROMPTS_FILE} or {MODELS_FILE} beside the images says otherwise"
        )
        said = f"layout {MODEL_FIRST} taken: {why}; --layout {PROMPT_FIRST} reads it the other way"
        return None, [said]
    chosen = MODEL_FIRST if forward > backward else PROMPT_FIRST
    if min(forward, backward):
        other = PROMPT_FIRST if chosen == MODEL_FIRST else MODEL_FIRST
        said = f"layout {chosen} taken, which fits {tables} better than {other} does"
        return chosen, [f"{said}; --layout {other} overrides"]
    return chosen, [f"layout {chosen}, by the names in {tables}"]


def _share(names: set[str], known: set[str]) -> float:
    return len(names & known) / len(names) if names else 0.0


def _rows(tree: Tree, layout: str, beside: Beside) -> Rows:
    rows = Rows()
    root = os.path.abspath(tree.root)
    model_first = layout == MODEL_FIRST
    for cell in tree.cells:
        model, prompt_id = (cell.top, cell.sub) if model_first else (cell.sub, cell.top)
        number = len(cell.images)
        items = [f"{cell.top}/{cell.sub}/{name}" for name in cell.images]
        prefix = os.path.join(root, cell.top, cell.sub) + os.sep
        # whole cells at once: 150,000 calls of Rows.add would take as long as the listing
        rows.item += items
        rows.path += [prefix + name for name in cell.images]
        rows.prompt_id += [prompt_id] * number
        rows.prompt += [beside.prompt(prompt_id)] * number
        rows.model += [model] * number
        rows.seed += [os.path.splitext(name)[0] for name in cell.images]
        rows.container += [None] * number
        rows.row += [None] * number
        rows.column += [None] * number
    return rows


def _flat_cells(tree: Tree) -> list[Cell]:
    return [Cell(top, name, [name]) for top, names in tree.shallow.items() for name in names]


def _flat_rows(tree: Tree, cells: Sequence[Cell], layout: str, beside: Beside) -> Rows:
    rows = Rows()
    root = os.path.abspath(tree.root)
    for cell in cells:
        stem = os.path.splitext(cell.sub)[0]
        model, prompt_id = (cell.top, stem) if layout == MODEL_FIRST else (stem, cell.top)
        rows.add(
            f"{cell.top}/{cell.sub}",
            path=os.path.join(root, cell.top, cell.sub),
            prompt_id=prompt_id,
            prompt=beside.prompt(prompt_id),
            model=model,
            seed=stem,
        )
    return rows


def _left_aside(tree: Tree) -> list[str]:
    notes = []
    if tree.sidecars:
        kinds = ", ".join(f"{number:,} {ending}" for ending, number in tree.sidecars.most_common())
        notes.append(f"files beside the images left aside: {kinds}")
    if tree.hidden:
        notes.append(f"hidden and system files left aside: {tree.hidden:,}")
    if tree.empty:
        notes.append(f"folders without images left aside: {listed(tree.empty)}")
    if tree.tables and (others := set(tree.tables) - {PROMPTS_FILE, MODELS_FILE, *VOTES_FILES}):
        notes.append(
            f"not read as a manifest, for folders of images lie beside: {listed(sorted(others))}"
        )
    return notes


def _flat_shape(layout: str) -> str:
    return "<model>/<prompt_id>.<ext>" if layout == MODEL_FIRST else "<prompt_id>/<model>.<ext>"


def _wrong_depth(tree: Tree) -> str:
    shapes = "<model>/<prompt_id>/<seed>.<ext> (or <prompt_id>/<model>/<seed>.<ext>)"
    if tree.deep and not tree.shallow:
        first = next(iter(tree.deep))
        return (
            f"{tree.root}: images lie too deep ({first}); an arena is {shapes}: "
            "give the folder further down"
        )
    mend = (
        f"images lie only one folder deep in {tree.root}; an arena is {shapes}: give the folder "
        "above, or, where every file is a prompt of its own, say --layout model/prompt"
    )
    if others := sorted(set(tree.tables) - {PROMPTS_FILE, MODELS_FILE}):
        mend += f"; to read {others[0]} as a manifest give its own path"
    return mend
