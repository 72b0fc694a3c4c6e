"""The long-lived threads, each with a step that a test can turn by hand, and what they share."""
