"""Where facts and metrics leave the store: the Prometheus page and OTLP."""
