package messages_test

import (
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
)

func TestContainsCardNumber(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       bool
	}{
		{"visa 16", "4242424242424242", true},
		{"visa 13", "4222222222222", true},
		{"visa 19", "4000000000000000006", true},
		{"mastercard 5", "5555555555554444", true},
		{"mastercard 2", "2223003122003222", true},
		{"amex", "378282246310005", true},
		{"amex in its grouping", "3782 822463 10005", true},
		{"discover", "6011111111111117", true},
		{"discover 65", "6510000000000018", true},
		{"discover 65 with a wrong check digit", "6510000000000019", false},
		{"diners 14", "36227206271667", true},
		{"diners 38", "38520000023237", true},
		{"jcb", "3566002020360505", true},
		{"unionpay", "6200000000000005", true},
		{"maestro", "6759649826438453", true},
		{"in json", `{"payment_method":"4242424242424242"}`, true},
		{"a json number", `{"amount_minor":4242424242424242}`, true},
		{"a json key", `{"4242424242424242":""}`, true},
		{"spaces", `"4242 4242 4242 4242"`, true},
		{"hyphens", `"4242-4242-4242-4242"`, true},
		{"mixed and wide separators", `"4242 - 4242  4242-4242"`, true},
		{"digits one by one", `"4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2"`, true},
		{"json escapes", `"\u0034\u0032\u0034\u0032\u0034\u0032\u0034\u0032\u0034\u0032\u0034\u0032\u0034\u0032\u0034\u0032"`, true},
		{"some json escapes", `"4242\u003242\u002d4242\u00204242\u00342"`, false}, // 17 digits, no card
		{"escaped separators", `"4242\u002d4242\u00204242-4242"`, true},
		{"escaped twice", `"4242\\u002d4242\\u00204242-4242"`, true},
		{"after other digits", `"order 12 4242 4242 4242 4242"`, true},
		{"before other digits", `"4242 4242 4242 4242 1226 123"`, true},
		{"letters around it", `"card4242424242424242x"`, true},
		{"wrong check digit", "4242424242424241", false},
		{"no network", "1242424242424242", false},
		{"visa of 15 digits", "424242424242426", false},
		{"twelve digits", "424242424242", false},
		{"inside a longer number", "94242424242424242", false},
		{"twenty digits", "42424242424242424242", false},
		{"uuid", `"42424242-4242-4242-4242-424242424242"`, false},
		{"uuid upper case", `"4242424A-4242-4242-4242-424242424242"`, false},
		{"operation id", `"01980a31-5555-7555-9555-555544441111-1"`, false},
		{"sha-256", strings.Repeat("4242424242424242", 4), false},
		{"hash with a card inside", `"a4242424242424242bdeadbeefdeadbeefcafe"`, false},
		{"traceparent", "00-42424242424242424242424242424242-00f067aa0ba902b7-01", false},
		{"dates", `"2026-07-12 12:34:56 2026-07-13"`, false},
		{"dots do not separate", "4242.4242.4242.4242", false},
		{"four separators are too many", "4242    4242 4242 4242", false},
		{"empty", "", false},
		{"backslashes", strings.Repeat(`\`, 1000), false},
		{"broken escape", `4242424242424\u00`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := messages.ContainsCardNumber([]byte(tt.text)); got != tt.want {
				t.Errorf("ContainsCardNumber(%q) = %v, want %v", tt.text, got, tt.want)
			}
		})
	}
}

func TestMaskCardNumbers(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"plain", `{"card":"4242424242424242"}`, `{"card":"************4242"}`},
		{"grouped", `"4242 4242-4242 4242"`, `"**** ****-**** 4242"`},
		{"two", "4242424242424242,378282246310005", "************4242,***********0005"},
		{"escaped", `"\u0034242\u00204242 4242 4242"`, `"****\u0020**** **** 4242"`},
		{"the last four begin another", "4242 4242 4242 4242 4242 4242 4242", "**** **** **** **** **** **** 4242"},
		{"a part", "4222222222222 222", "*********2222 222"}, // 13 digits are a card, 16 are not
		{"nothing", `{"payment_id":"42424242-4242-4242-4242-424242424242"}`, `{"payment_id":"42424242-4242-4242-4242-424242424242"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			original := []byte(tt.text)
			got := string(messages.MaskCardNumbers(original))
			if got != tt.want {
				t.Errorf("MaskCardNumbers(%q) = %q, want %q", tt.text, got, tt.want)
			}
			if string(original) != tt.text {
				t.Errorf("the original was changed to %q", original)
			}
		})
	}
}

func FuzzMaskCardNumbers(f *testing.F) {
	for _, seed := range []string{
		"", "4242424242424242", "4242 4242 4242 4242 4242 4242", `\u0034242424242424242`, `\\\u0034242424242424242`,
		"42424242-4242-4242-4242-424242424242", "4242424242424242-4242-4242-4242-424242424242", "378282246310005 378282246310005",
		"4242424242424242abcd-4242-4242-4242-424242424242",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		masked := messages.MaskCardNumbers(b)
		if messages.ContainsCardNumber(masked) {
			t.Errorf("MaskCardNumbers(%q) = %q still holds a card number", b, masked)
		}
		if !messages.ContainsCardNumber(b) && string(masked) != string(b) {
			t.Errorf("MaskCardNumbers(%q) = %q, with nothing to mask", b, masked)
		}
	})
}

func BenchmarkContainsCardNumber(b *testing.B) {
	ordinary := []byte(`{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa","capture_method":"manual",` +
		`"customer_id":"cus_18342","merchant_reference":"order-2026-001834","metadata":{"basket":"0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88"}}`)
	escaped := []byte(`{"merchant_reference":"\u00e4 1234567890123 0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88"}`)
	for name, body := range map[string][]byte{"ordinary": ordinary, "suspicious": escaped} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if messages.ContainsCardNumber(body) {
					b.Fatal("no card number there")
				}
			}
		})
	}
}
