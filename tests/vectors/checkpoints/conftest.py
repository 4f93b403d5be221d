"""The generator needs packages that the tests do without."""

collect_ignore = ["make.py"]
