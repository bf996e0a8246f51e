package messages_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
)

// wantCode fails the test unless err is a *DecodeError with the code; "" wants no error.
func wantCode(t *testing.T, err error, want messages.DecodeCode) {
	t.Helper()
	var refused *messages.DecodeError
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && !errors.As(err, &refused):
		t.Errorf("error %v, want a *DecodeError with code %s", err, want)
	case want != "" && refused.Code != want:
		t.Errorf("code %s (%v), want %s", refused.Code, err, want)
	}
}

func TestExponent(t *testing.T) {
	t.Parallel()
	for currency, want := range map[string]int{
		"USD": 2, "EUR": 2, "IQD": 3, "AFN": 2, "MGA": 2, "JPY": 0, "ISK": 0, "UGX": 0, "KWD": 3, "CLF": 4, "UYW": 4, "XCG": 2,
	} {
		if got, known := messages.Exponent(currency); got != want || !known {
			t.Errorf("Exponent(%s) = %d, %v, want %d", currency, got, known, want)
		}
	}
	for _, currency := range []string{"", "usd", "US", "USDX", "XXX", "XTS", "XAU", "BGN", "HRK", "BTC"} {
		if _, known := messages.Exponent(currency); known {
			t.Errorf("Exponent(%q) is known", currency)
		}
	}
}

func TestMoneyValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		money messages.Money
		want  messages.DecodeCode
	}{
		{"one cent", messages.Money{AmountMinor: 1, Currency: "USD"}, ""},
		{"the most", messages.Money{AmountMinor: messages.AmountMinorMax, Currency: "IDR"}, ""},
		{"zero", messages.Money{Currency: "USD"}, messages.CodeAmountNotPositive},
		{"negative", messages.Money{AmountMinor: -1, Currency: "USD"}, messages.CodeAmountNotPositive},
		{"one too many", messages.Money{AmountMinor: messages.AmountMinorMax + 1, Currency: "USD"}, messages.CodeAmountTooLarge},
		{"overflowing", messages.Money{AmountMinor: math.MaxInt64, Currency: "USD"}, messages.CodeAmountTooLarge},
		{"no currency", messages.Money{AmountMinor: 1}, messages.CodeUnknownCurrency},
		{"lower case", messages.Money{AmountMinor: 1, Currency: "usd"}, messages.CodeUnknownCurrency},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantCode(t, tt.money.Validate(), tt.want)
		})
	}
}

func TestFormatMinor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		amountMinor int64
		currency    string
		want        string
	}{
		{1999, "USD", "19.99 USD"},
		{1999, "JPY", "1999 JPY"},
		{1999, "KWD", "1.999 KWD"},
		{1999, "CLF", "0.1999 CLF"},
		{5, "USD", "0.05 USD"},
		{0, "USD", "0.00 USD"},
		{-5, "USD", "-0.05 USD"},
		{math.MinInt64, "USD", "-92233720368547758.08 USD"},
		{7, "???", `7 minor units of "???"`},
	}
	for _, tt := range tests {
		if got := messages.FormatMinor(tt.amountMinor, tt.currency); got != tt.want {
			t.Errorf("FormatMinor(%d, %s) = %q, want %q", tt.amountMinor, tt.currency, got, tt.want)
		}
	}
}

func TestParseMoney(t *testing.T) {
	t.Parallel()
	tests := []struct {
		amount, currency string
		want             int64
		code             messages.DecodeCode
	}{
		{"19.99", "USD", 1999, ""},
		{"19.9", "USD", 1990, ""},
		{"19", "USD", 1900, ""},
		{"0.01", "USD", 1, ""},
		{"1999", "JPY", 1999, ""},
		{"1.999", "KWD", 1999, ""},
		{"9999999999.99", "USD", messages.AmountMinorMax, ""},
		{"10000000000.00", "USD", 0, messages.CodeAmountTooLarge},
		{"99999999999999999999", "USD", 0, messages.CodeAmountTooLarge},
		{"0", "USD", 0, messages.CodeAmountNotPositive},
		{"0.00", "USD", 0, messages.CodeAmountNotPositive},
		{"19.999", "USD", 0, messages.CodeInvalidField},
		{"1.0", "JPY", 0, messages.CodeInvalidField},
		{"", "USD", 0, messages.CodeInvalidField},
		{".5", "USD", 0, messages.CodeInvalidField},
		{"5.", "USD", 0, messages.CodeInvalidField},
		{"-5", "USD", 0, messages.CodeInvalidField},
		{"+5", "USD", 0, messages.CodeInvalidField},
		{"1,000", "USD", 0, messages.CodeInvalidField},
		{"1e3", "USD", 0, messages.CodeInvalidField},
		{"1.2.3", "USD", 0, messages.CodeInvalidField},
		{"٣", "USD", 0, messages.CodeInvalidField},
		{"5", "usd", 0, messages.CodeUnknownCurrency},
	}
	for _, tt := range tests {
		t.Run(tt.amount+tt.currency, func(t *testing.T) {
			t.Parallel()
			got, err := messages.ParseMoney(tt.amount, tt.currency)
			wantCode(t, err, tt.code)
			if got.AmountMinor != tt.want {
				t.Errorf("%d, want %d", got.AmountMinor, tt.want)
			}
		})
	}
}

func TestMoneyReadsBackWhatItWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := messages.Money{
			AmountMinor: rapid.Int64Range(1, messages.AmountMinorMax).Draw(t, "amount_minor"),
			Currency:    rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF"}).Draw(t, "currency"),
		}
		exponent, _ := messages.Exponent(m.Currency)
		got, err := messages.ParseMoney(messages.FormatDecimal(m.AmountMinor, exponent), m.Currency)
		if err != nil || got != m {
			t.Fatalf("ParseMoney of %s: %v, %v", m, got, err)
		}
	})
}
