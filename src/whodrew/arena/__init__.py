"""The arena room: reading an arena in whatever layout, and safe lazy decoding."""

from __future__ import annotations

from whodrew.arena.beside import read_families
from whodrew.arena.canonical import canonical_bytes, canonical_form, image_id, thumbnail_digest
from whodrew.arena.containers import is_embedding_table, iter_bytes, partition, read_image_bytes
from whodrew.arena.decode import Decoded, ImageError, Limits, Pixels, decode, read_bytes
from whodrew.arena.labels import derive_prompt_id
from whodrew.arena.manifests import parse_columns
from whodrew.arena.model import IMAGES_SCHEMA, LAYOUTS, Arena, BadItem
from whodrew.arena.preferences import BATTLES_SCHEMA
from whodrew.arena.read import list_images, read_arena, read_battles
from whodrew.arena.stored import read_stored, stored_path

__all__ = [
    "BATTLES_SCHEMA",
    "IMAGES_SCHEMA",
    "LAYOUTS",
    "Arena",
    "BadItem",
    "Decoded",
    "ImageError",
    "Limits",
    "Pixels",
    "canonical_bytes",
    "canonical_form",
    "decode",
    "derive_prompt_id",
    "image_id",
    "is_embedding_table",
    "iter_bytes",
    "list_images",
    "parse_columns",
    "partition",
    "read_arena",
    "read_battles",
    "read_bytes",
    "read_families",
    "read_image_bytes",
    "read_stored",
    "stored_path",
    "thumbnail_digest",
]
