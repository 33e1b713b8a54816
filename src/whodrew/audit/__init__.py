"""The audit room: the main job, and the object it gives."""

from __future__ import annotations

from whodrew.audit.identification import Identification
from whodrew.audit.options import AuditOptions
from whodrew.audit.result import AttackResult, Audit
from whodrew.audit.run import audit
from whodrew.audit.write import write_audit
from whodrew.callable_package import make_callable

__all__ = ["AttackResult", "Audit", "AuditOptions", "Identification", "audit", "write_audit"]

make_callable(__name__, "whodrew.audit.run:audit")
