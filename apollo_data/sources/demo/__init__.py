"""The demo songs: synthesised, in both data sets' layouts, with the true activity."""
