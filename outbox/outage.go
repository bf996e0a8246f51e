package outbox

import "go.uber.org/zap"

// outage logs the beginning and the end of a run of failures instead of each one. One goroutine uses it.
type outage struct {
	log      *zap.Logger
	what     string
	failures int
}

func (o *outage) failed(err error) {
	if o.failures++; o.failures == 1 {
		o.log.Warn(o.what+" fails, retrying until it works", zap.Error(err))
	}
}

func (o *outage) over() {
	if o.failures > 0 {
		o.log.Info(o.what+" works again", zap.Int("failures", o.failures))
	}
	o.failures = 0
}
