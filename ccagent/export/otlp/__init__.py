"""OTLP out: closed facts as spans, totals as metrics, sent from durable cursors.

Nothing is imported here: who exports nothing loads no protobuf and no gRPC.
"""
