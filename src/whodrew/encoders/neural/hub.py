"""Models by their name on the Hugging Face Hub: from its cache, else fetched."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from whodrew.encoders.neural.weights import INDEX, SAFE, WANTED, missing_of
from whodrew.errors import InputError, UsageError

PATIENCE: Final = 5.0  # seconds to wait for the Hub's first answer
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_YES: Final = ("1", "true", "yes", "on")


def snapshot(family: str, text: str) -> tuple[Path, str]:
    """Finds a model of the Hub, in its cache if it is there, else by fetching it.

    What is in the cache is taken as it is: nobody asks whether the Hub has a newer one.

    Args:
        family: for messages.
        text: ``owner/name`` or ``owner/name@revision``.

    Returns:
        The folder and the commit.

    Raises:
        UsageError: ``text`` is no name that the Hub could know.
        InputError: the model is neither here nor to be had.
    """
    repo, _, revision = text.partition("@")
    _check_name(family, text, repo)
    found = _cached(repo, revision or None)
    if isinstance(found, Path):
        return found, found.name
    if is_offline():
        raise InputError(_absent(family, text, "the network is switched off by HF_HUB_OFFLINE"))
    names = _ask(family, text, repo, revision or None)
    folder = _fetch(family, text, repo, revision or None, names)
    return folder, folder.name


def is_offline() -> bool:
    """Whether the user has switched the Hub off."""
    from huggingface_hub import is_offline_mode

    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return is_offline_mode() or any(os.environ.get(name, "").lower() in _YES for name in names)


def _check_name(family: str, text: str, repo: str) -> None:
    good = _NAME.fullmatch(repo) and ".." not in repo and "--" not in repo
    if not good or text.endswith("@"):
        raise UsageError(
            f"{family}:{text} is neither a folder nor a name on the Hub: give {family}:FOLDER, "
            f"{family}:owner/name or {family}:owner/name@revision"
        )


def _cached(repo: str, revision: str | None) -> Path | str:
    """Returns the folder of a whole snapshot in the cache, or what it lacks."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repo, revision=revision, local_files_only=True, allow_patterns=list(WANTED)
            )
        )
    except (LocalEntryNotFoundError, OSError, ValueError):
        return "not in the cache"
    names = {file.name for file in folder.iterdir() if file.exists()}
    missing = missing_of(names)
    if missing is None and SAFE not in names and INDEX in names:
        text = (folder / INDEX).read_text("utf-8")
        shards = [name for name in _quoted(text) if name.endswith(".safetensors")]
        missing = next((f"no {name}" for name in shards if name not in names), None)
    return missing or folder


def _quoted(text: str) -> set[str]:
    return set(text.split('"')[1::2])


def _ask(family: str, text: str, repo: str, revision: str | None) -> list[str]:
    """Asks the Hub for the files of a model that we need, before fetching any."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info: Any = HfApi().model_info(repo, revision=revision, timeout=PATIENCE)
    except GatedRepoError as error:
        raise InputError(_gated(family, text, repo)) from error
    except RevisionNotFoundError as error:
        raise InputError(f"{family}:{text}: the Hub has no revision {revision!r} of it") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            _absent(family, text, "the Hub knows no such model, or not without 'hf auth login'")
        ) from error
    except Exception as error:
        raise InputError(
            _absent(family, text, f"the Hub cannot be reached ({_brief(error)})")
        ) from error
    names = {str(one.rfilename) for one in info.siblings or ()}
    if missing := missing_of(names):
        raise InputError(f"{family}:{text} has {missing}")
    return sorted(name for name in names if any(fnmatchcase(name, one) for one in WANTED))


def _fetch(family: str, text: str, repo: str, revision: str | None, names: list[str]) -> Path:
    """Fetches files into the cache, under the revision's name too, to be found there again.

    One by one, each announced first: ``snapshot_download`` waits for ever for the list of a
    Hub that has fallen silent, ``hf_hub_download`` six minutes for the head of a file.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import GatedRepoError

    folder: Path | None = None
    try:
        for name in names:
            # the commit of the first file, whatever its branch becomes meanwhile
            pinned = folder.name if folder else revision
            get_hf_file_metadata(hf_hub_url(repo, name, revision=pinned), timeout=PATIENCE)
            file = hf_hub_download(repo, name, revision=pinned, etag_timeout=PATIENCE)
            folder = Path(file).parent
    except GatedRepoError as error:
        raise InputError(_gated(family, text, repo)) from error
    except Exception as error:
        raise InputError(_absent(family, text, f"fetching it failed ({_brief(error)})")) from error
    assert folder is not None, "a model has files"
    return folder


def _absent(family: str, text: str, why: str) -> str:
    repo, _, revision = text.partition("@")
    more = f" --revision {revision}" if revision else ""
    return (
        f"the weights of {family}:{text} are not on this machine, and {why}: where there is a "
        f"network, run 'hf download {repo}{more}', or give a folder that holds them, "
        f"{family}:/path/to/folder"
    )


def _gated(family: str, text: str, repo: str) -> str:
    return (
        f"{family}:{text} is given only to those who accept its licence: accept it on the model's "
        f"page, then 'hf auth login' and 'hf download {repo}'"
    )


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160]
