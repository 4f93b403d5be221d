"""Networks: Apollo and its discriminator; devices, number types and memory."""

from apollo_model.network.apollo import Apollo

__all__ = ["Apollo"]
