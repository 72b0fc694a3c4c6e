// Backend of the tests: traces, with OTLP in and a query interface.
module ccagent.invalid/jaeger

go 1.26.0

tool github.com/jaegertracing/jaeger/cmd/all-in-one

require github.com/jaegertracing/jaeger v1.76.0
