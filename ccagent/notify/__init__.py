"""Telling people of alerts: one channel a file, each behind the one interface of `channel`."""
