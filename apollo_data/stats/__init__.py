"""Statistics of a data set: what its recipes drew, and what its pairs sound like."""
