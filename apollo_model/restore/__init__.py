"""Restoration: files, folders and PCM pipes."""

from apollo_model.restore.files import RestoreOptions, restore

__all__ = ["RestoreOptions", "restore"]
