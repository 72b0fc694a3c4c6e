"""Measurements of ccagent, each beside the limit that it is held against, in one run."""
