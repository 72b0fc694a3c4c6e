"""How much of what the transcripts show Claude Code's own telemetry has caught: a report on request, never a metric."""
