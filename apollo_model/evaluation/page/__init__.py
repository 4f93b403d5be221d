"""The evaluation page: one HTML file with the scores, the charts and a listening test."""

from apollo_model.evaluation.page.document import write_page

__all__ = ["write_page"]
