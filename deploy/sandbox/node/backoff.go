package node

import "time"

const (
	// capFactor: the longest wait is 30 times the first, as 10 s and 5 min are.
	capFactor = 30
	// resetFactor: a container that ran for twice the longest wait starts afresh.
	resetFactor = 2
)

// backoff is the wait before the next try: the first failure costs nothing when first is free, then base, doubling.
type backoff struct {
	base time.Duration
	// failures seen since the last reset
	failures int
}

// restart is the wait after a container's end, of which the first is free.
func (b *backoff) restart(ran time.Duration) time.Duration {
	if ran > resetFactor*capFactor*b.base {
		b.failures = 0
	}
	b.failures++
	if b.failures == 1 {
		return 0
	}
	return double(b.base, b.failures-2)
}

// pull is the wait after a failed pull.
func (b *backoff) pull() time.Duration {
	b.failures++
	return double(b.base, b.failures-1)
}

func double(base time.Duration, times int) time.Duration {
	wait := base
	for range times {
		if wait *= 2; wait >= capFactor*base {
			return capFactor * base
		}
	}
	return wait
}
