"""Restoration: files, folders and PCM pipes."""

from apollo_model.restore.files import RestoreOptions, restore
from apollo_model.restore.formats import OutputFormat

__all__ = ["OutputFormat", "RestoreOptions", "restore"]
