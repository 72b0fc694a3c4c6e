// Backends of the tests: logs and metrics. The logs want a state of the metrics' library that is not to be had; the
// release after it fits.
module ccagent.invalid/victoria

go 1.26.0

tool (
	github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
	github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics
)

require (
	github.com/VictoriaMetrics/VictoriaLogs v1.51.1-0.20260624061259-dc94972a8708
	github.com/VictoriaMetrics/VictoriaMetrics v1.150.0
)
