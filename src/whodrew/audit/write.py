"""Writing an audit to a folder: audit.json, tables, report."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from whodrew.arena import ImageError, read_stored
from whodrew.audit.result import Audit
from whodrew.errors import InputError
from whodrew.report import write_report

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
MOST_PIXELS = 64_000_000
SCRATCH = ".scratch-"
KINDS = ("answers", "confusion", "similarity", "votes")


@contextmanager
def working_folder(out: str | Path | None) -> Iterator[Path]:
    """Yields the folder results go to, or a temporary one.

    Raises:
        InputError: the folder cannot be made.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="whodrew-") as temporary:
            yield Path(temporary)
        return
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    yield folder


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Yields a folder for what does not fit into memory, gone afterwards.

    Raises:
        InputError: it cannot be made.
    """
    try:
        _sweep(out)
        folder = tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(out: Path) -> None:
    """Removes scratch folders of audits on this machine that were killed."""
    for folder in out.glob(f"{SCRATCH}*"):
        owner = folder.name.removeprefix(SCRATCH).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def write_audit(result: Audit, out: Path) -> None:
    """Writes tables, ``audit.json`` and ``report.html``, each whole or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        _write_tables(result, out / "tables")
        write_json(result.to_dict(), out / "audit.json")
        write_report(out, image=open_for_thumbnail)
    except OSError as error:
        what = error.filename or out
        raise InputError(f"cannot write {what}: {error.strerror or error}") from error


def _write_tables(result: Audit, tables: Path) -> None:
    """Writes tables, and removes those of an earlier run; other people's files stay."""
    tables.mkdir(parents=True, exist_ok=True)
    for file in tables.glob("*.parquet"):
        if file.name not in result.tables and file.name.split("-")[0] in KINDS:
            file.unlink()
    for name, table in result.tables.items():
        if isinstance(table, Path):
            table.replace(tables / name)
            continue
        temporary = tables / f".{name}.tmp"
        pq.write_table(table, temporary)
        temporary.replace(tables / name)


def write_json(values: Any, file: Path) -> None:
    """Writes JSON through a temporary name; NaN is refused."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    temporary.write_text(text, "utf-8")
    temporary.replace(file)


def open_for_thumbnail(path: str) -> Any:
    """Returns a lazy Pillow image, or ``None`` where the file is gone or not to be opened."""
    from PIL import Image

    source: Any = path
    if not os.path.lexists(path):  # perhaps inside an archive or a Parquet file
        try:
            source = io.BytesIO(read_stored(path))
        except ImageError:
            return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(source, formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if image.width * image.height > MOST_PIXELS:
        image.close()
        return None
    return image
