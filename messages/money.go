package messages

import (
	"fmt"
	"strconv"
	"strings"
)

// AmountMinorMax is the largest amount a message may carry: twelve digits of minor units, which is
// all that ISO 8583, the protocol card networks speak, has room for. It leaves sums of millions of
// amounts far below the limit of an int64, and is one digit shorter than the shortest card number,
// so that an amount is never mistaken for one.
const AmountMinorMax int64 = 999_999_999_999

// Money is a positive amount in the minor unit of its currency: {1999, "USD"} is 19.99 USD, {1999,
// "JPY"} is 1999 JPY.
type Money struct {
	AmountMinor int64
	Currency    string
}

// Validate returns nil for a positive amount of at most AmountMinorMax in a currency that Exponent
// knows, and otherwise a *DecodeError with code unknown_currency, amount_not_positive or
// amount_too_large.
func (m Money) Validate() error {
	if _, known := Exponent(m.Currency); !known {
		return refuse(CodeUnknownCurrency, "currency", "must be an ISO 4217 code in upper case, such as USD, not %s", quote(m.Currency))
	}
	return validateAmount("amount_minor", m.AmountMinor)
}

// String formats the amount for people, with the currency after it: "19.99 USD", "1999 JPY", "1.999
// KWD". An unknown currency is shown in minor units and says so.
func (m Money) String() string { return FormatMinor(m.AmountMinor, m.Currency) }

// FormatMinor formats minor units of a currency for people, like Money.String; zero and negative
// amounts are fine.
func FormatMinor(amountMinor int64, currency string) string {
	exponent, known := Exponent(currency)
	if !known {
		return fmt.Sprintf("%d minor units of %s", amountMinor, quote(currency))
	}
	return FormatDecimal(amountMinor, exponent) + " " + currency
}

// FormatDecimal places the decimal point: FormatDecimal(-1999, 2) is "-19.99". It works on digits,
// never on fractions. An exponent of 0 or less means none.
func FormatDecimal(amountMinor int64, exponent int) string {
	digits := strconv.FormatInt(amountMinor, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if exponent <= 0 {
		return sign + digits
	}
	if missing := exponent + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - exponent
	return sign + digits[:point] + "." + digits[point:]
}

// ParseMoney reads an amount as people write it: "19.99", "USD" gives {1999, "USD"}. The text is an
// optional fraction of at most as many digits as the currency has; missing digits count as zeros.
// It takes no sign, exponent, spaces or thousands separators. It fails with a *DecodeError, with
// the codes of Validate or invalid_field.
func ParseMoney(amount, currency string) (Money, error) {
	exponent, known := Exponent(currency)
	if !known {
		return Money{}, Money{Currency: currency}.Validate()
	}
	whole, fraction, pointed := strings.Cut(amount, ".")
	if !allDigits(whole) || pointed && !allDigits(fraction) {
		return Money{}, refuse(CodeInvalidField, "amount", "must be a decimal number such as 19.99")
	}
	if len(fraction) > exponent {
		return Money{}, refuse(CodeInvalidField, "amount", "has more than the %d decimal digits of %s", exponent, currency)
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", exponent-len(fraction)), 10, 64)
	if err != nil { // Only digits got here, so it is the range.
		return Money{}, tooLarge("amount")
	}
	m := Money{AmountMinor: minor, Currency: currency}
	if err := m.Validate(); err != nil {
		return Money{}, err
	}
	return m, nil
}

func validateAmount(field string, amountMinor int64) error {
	switch {
	case amountMinor <= 0:
		return notPositive(field)
	case amountMinor > AmountMinorMax:
		return tooLarge(field)
	default:
		return nil
	}
}

func notPositive(field string) error {
	return refuse(CodeAmountNotPositive, field, "must be greater than zero")
}

func tooLarge(field string) error {
	return refuse(CodeAmountTooLarge, field, "must be at most %d minor units", AmountMinorMax)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
