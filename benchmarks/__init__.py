"""Speed and memory, each beside its plain alternative in the same run; `make bench` runs all."""
