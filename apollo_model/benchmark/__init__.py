"""Speed of a network on this machine."""
