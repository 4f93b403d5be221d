"""The working folder: manifests, rejects, locks, reasons for rebuilding, kept progress."""
