package sim

import "testing"

func FuzzCardOf(f *testing.F) {
	for _, seed := range []string{"pm_card_visa", "sim_slow_250", "sim_429_3@refund", "sim_wrong_amount", "sim__@", "sim_429_99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := cardOf(token)
		if err != nil {
			return
		}
		if c.fault.kind != faultNone && (c.fault.times < 1 || c.fault.times > faultTimesMax || c.fault.delay < 0 || c.fault.delay > slowMax) {
			t.Errorf("%q is %+v, out of its bounds", token, c.fault)
		}
	})
}
