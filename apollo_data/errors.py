"""Errors that a user can fix; each is one line: file, what was expected, found, what to do."""


class ApolloError(Exception):
    """Base of every error that the commands print as one line and end with exit status 1."""


class SettingsError(ApolloError):
    """A pipeline file or an option holds something that cannot be meant."""


class DataError(ApolloError):
    """A folder, manifest or shard is missing, incomplete, damaged or not what it claims to be."""


class AudioError(ApolloError):
    """One audio file cannot be read or written; stages turn it into a row of rejects.jsonl."""


class ToolError(ApolloError):
    """A program or an optional package that the work needs is missing or failed."""


class BusyError(ApolloError):
    """Another process is at work in the same folder."""
