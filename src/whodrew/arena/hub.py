"""Data sets on the Hugging Face Hub: which they are, fetched to the Hub's own cache.

Only files of data are fetched. No script of a data set is downloaded or run.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from whodrew.arena.hublayout import CARD, Chosen, choose
from whodrew.errors import InputError, MissingExtraError, UsageError

PREFIX: Final = "hub:"
CONVERTED: Final = "refs/convert/parquet"
_DEEPEST: Final = 8
_NAME: Final = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/:@]+))?(?:/(?P<config>[^:@]+))?(?::(?P<split>[^:/]+))?"
)


@dataclass(frozen=True)
class Spec:
    """What ``hub:…`` asks for.

    Attributes:
        repo: ``owner/name``; ``None`` where it is a folder.
        folder: a data set on this machine.
        revision: branch, tag or commit.
        config: configuration.
        split: split.
    """

    repo: str | None = None
    folder: Path | None = None
    revision: str | None = None
    config: str | None = None
    split: str | None = None


def parse(text: str) -> Spec:
    """Reads ``hub:owner/name[@revision][/config][:split]``, or a folder in place of the name.

    A slash in a revision is written ``%2F``.

    Raises:
        UsageError: it is neither.
        InputError: a path to a folder that is not there.
    """
    rest = text.removeprefix(PREFIX)
    head, colon, tail = rest.rpartition(":")
    ways = [(rest, None), (head, tail)] if colon else [(rest, None)]
    for where, split in ways:
        if where and (folder := Path(where).expanduser()).is_dir():
            return Spec(folder=folder, split=split)
    for where, split in reversed(ways):
        above, _, config = where.rpartition("/")
        if above and config and (folder := Path(above).expanduser()).is_dir():
            return Spec(folder=folder, config=config, split=split)
    match = _NAME.fullmatch(rest)
    if rest.startswith((".", "/", "~")):
        raise InputError(f"{text}: no such folder")
    if match is None:
        raise UsageError(
            f"{text} names no data set: hub:owner/name[@revision][/config][:split], or "
            "hub:/path/to/folder"
        )
    found = match.groupdict()
    revision = unquote(found["revision"]) if found["revision"] else None
    return Spec(found["repo"], None, revision, found["config"], found["split"])


def local(folder: Path, config: str | None = None, split: str | None = None) -> Chosen:
    """Chooses the data files of a folder in the Hub's layout.

    Raises:
        InputError: nothing in it can be read as such.
        MissingExtraError: its card has configurations and PyYAML is not installed.
    """
    return choose(list_files(folder), read_card(folder), config, split, name=str(folder))


def list_files(folder: Path) -> list[str]:
    """Lists the files below a folder, relative, by ``/``; hidden ones are left out."""
    found = []
    for at, folders, files in os.walk(folder, followlinks=False):
        relative = Path(at).relative_to(folder)
        deep = len(relative.parts) >= _DEEPEST
        folders[:] = [] if deep else [name for name in folders if not name.startswith(".")]
        found += [(relative / name).as_posix() for name in files if not name.startswith(".")]
    return found


def read_card(folder: Path) -> str | None:
    """Returns the text of a data set's card, ``None`` where there is none."""
    try:
        return (folder / CARD).read_text("utf-8", errors="replace")
    except OSError:
        return None


def fetch(spec: Spec) -> tuple[Path, Chosen]:
    """Fetches the data files of a data set into the Hub's cache, or finds them there.

    What the cache holds is not fetched again. Where the Hub cannot be reached, or
    ``HF_HUB_OFFLINE`` is set, the cache alone answers.

    Args:
        spec: names the data set.

    Returns:
        The folder of the snapshot, and the files in it.

    Raises:
        MissingExtraError: ``huggingface_hub`` is not installed.
        InputError: there is no such data set, it may not be read, it cannot be reached and
            is not in the cache, or nothing in it can be read.
    """
    hub = _library()
    assert spec.repo is not None
    listing, reason = _listing(hub, spec)
    if listing is None:
        return _cached(hub, spec, reason)
    commit, files = listing
    card = read_card(_snapshot(hub, spec, spec.revision, [CARD])) if CARD in files else None
    revision = spec.revision
    try:
        chosen = choose(files, card, spec.config, spec.split, name=spec.repo)
    except InputError:
        if spec.revision is not None or not (other := _converted(hub, spec)):
            raise
        (commit, chosen), revision = other, CONVERTED
    # by the name of the revision, not by its commit: so the cache finds it again
    folder = _snapshot(hub, spec, revision, list(chosen.files))
    if folder.name != commit:
        raise InputError(f"{spec.repo} changed while it was fetched: try again")
    return folder, _noted(chosen, f"{spec.repo} at {commit[:12]}")


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise MissingExtraError("reading data sets from the Hub", "hub") from error
    return huggingface_hub


def _failures(hub: Any) -> tuple[type[Exception], ...]:
    # the HTTP library that huggingface_hub is built on has changed before
    http = getattr(hub.errors, "HTTPError", OSError)
    entry, revision = hub.errors.EntryNotFoundError, hub.errors.RevisionResolutionError
    return (OSError, ValueError, http, entry, revision)


def _listing(hub: Any, spec: Spec) -> tuple[tuple[str, list[str]] | None, str]:
    """Returns (commit, files) of a data set; ``None`` and why where the Hub does not answer."""
    if hub.constants.is_offline_mode():
        return None, "HF_HUB_OFFLINE is set"
    try:
        api = hub.HfApi()
        seconds = hub.constants.HF_HUB_ETAG_TIMEOUT
        info = api.dataset_info(spec.repo, revision=spec.revision, timeout=seconds)
    except hub.errors.GatedRepoError as error:
        raise InputError(
            f"{spec.repo} is gated: accept its terms on the Hub, then log in with 'hf auth login'"
        ) from error
    except hub.errors.RepositoryNotFoundError as error:
        raise InputError(
            f"there is no data set {spec.repo} on the Hub, or it is private: check the name, or "
            "log in with 'hf auth login'"
        ) from error
    except hub.errors.RevisionNotFoundError as error:
        raise InputError(f"{spec.repo} has no revision {spec.revision!r}") from error
    except hub.errors.HFValidationError as error:
        raise InputError(f"{spec.repo}: {_line(error)}") from error
    except _failures(hub) as error:
        return None, f"{type(error).__name__}: {_line(error)}"
    return (str(info.sha), [str(one.rfilename) for one in info.siblings or []]), ""


def _converted(hub: Any, spec: Spec) -> tuple[str, Chosen] | None:
    """Finds the Parquet files that the Hub itself made of a data set."""
    other = Spec(spec.repo, None, CONVERTED, spec.config, spec.split)
    try:
        listing, _ = _listing(hub, other)
        if listing is None:
            return None
        commit, files = listing
        configs = sorted({file.split("/")[0] for file in files if file.count("/") == 2})
        config = spec.config or ("default" if "default" in configs else None)
        if config is None and len(configs) == 1:
            config = configs[0]
        name = f"{spec.repo}@{CONVERTED}"
        chosen = choose(files, None, config, spec.split, name=name)
    except InputError:
        return None
    return commit, _noted(chosen, f"the Hub's own Parquet copy ({CONVERTED}) is read")


def _snapshot(hub: Any, spec: Spec, revision: str | None, files: list[str]) -> Path:
    try:
        found = hub.snapshot_download(
            spec.repo,
            repo_type="dataset",
            revision=revision,
            allow_patterns=[glob.escape(file) for file in files],
            etag_timeout=hub.constants.HF_HUB_ETAG_TIMEOUT,
        )
    except _failures(hub) as error:
        raise InputError(
            f"{spec.repo} could not be fetched from the Hub, what is there already is kept for "
            f"the next try: {_line(error)}"
        ) from error
    return Path(found)


def _cached(hub: Any, spec: Spec, reason: str) -> tuple[Path, Chosen]:
    """Finds a data set in the cache, or the Hub's own Parquet copy of it."""
    refused: InputError | None = None
    for revision in (spec.revision, CONVERTED) if spec.revision is None else (spec.revision,):
        try:
            found = hub.snapshot_download(
                spec.repo,
                repo_type="dataset",
                revision=revision,
                local_files_only=True,
                allow_patterns=[CARD],
            )
        except _failures(hub):
            continue
        folder = Path(found)
        try:
            files, card = list_files(folder), read_card(folder)
            chosen = choose(files, card, spec.config, spec.split, name=str(spec.repo))
        except InputError as error:
            refused = refused or error
            continue
        return folder, _noted(
            chosen, f"{spec.repo} from the cache, at {folder.name[:12]}: {reason}"
        )
    if refused is not None:
        raise InputError(f"{refused} (as far as the cache holds it; {reason})") from refused
    raise InputError(
        f"the Hub cannot be reached ({reason}), and {spec.repo} is not in its cache: fetch it "
        "where there is a network, and give the folder as hub:/path/to/folder"
    )


def _noted(chosen: Chosen, note: str) -> Chosen:
    return Chosen(chosen.files, chosen.kind, (note, *chosen.notes), chosen.bad)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
