"""The HTTP listener: metrics, health, readiness; on loopback only, read only."""
