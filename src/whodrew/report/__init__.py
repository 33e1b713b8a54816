"""The HTML report: one file, no network, readable on a phone.

The report reads result objects as plain mappings (``audit.json``) and imports nothing
else of whodrew. Sections live in :mod:`whodrew.report.sections`, one module each.
"""

from __future__ import annotations

from whodrew.report.build import MAX_BYTES, build_report, write_report

__all__ = ["MAX_BYTES", "build_report", "write_report"]
