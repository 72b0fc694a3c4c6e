"""Alert rules: what they are, what a reading of the past means to them, and what follows from it. Pure."""
