"""Networks: Apollo, its discriminator, devices and arithmetic."""

from apollo_model.network.apollo import Apollo

__all__ = ["Apollo"]
