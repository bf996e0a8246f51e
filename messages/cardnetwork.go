package messages

// cardNumber is a card number found in a cardText.
type cardNumber struct {
	// start is the index of its first symbol.
	start int
	// digits is how many digits it has.
	digits int
}

// find returns the first card number at or after from, the longest if several begin there. From
// counts as the beginning of a group of digits.
func (t cardText) find(from int) (cardNumber, bool) {
	for i := from; i < len(t.symbols); {
		if !isDigit(t.symbols[i]) {
			i++
			continue
		}
		if digits := t.longestAt(i); digits > 0 {
			return cardNumber{start: i, digits: digits}, true
		}
		for i < len(t.symbols) && isDigit(t.symbols[i]) {
			i++
		}
	}
	return cardNumber{}, false
}

// longestAt returns how many digits the longest card number has that begins at i, 0 if there is
// none. It looks at no more than 20 digits.
func (t cardText) longestAt(i int) int {
	var digits [cardDigitsMax]byte
	longest, n, separators := 0, 0, 0
	for ; i < len(t.symbols); i++ {
		switch c := t.symbols[i]; {
		case isDigit(c):
			if n == cardDigitsMax {
				return longest
			}
			digits[n] = c - '0'
			n++
			separators = 0
			endOfGroup := i+1 == len(t.symbols) || !isDigit(t.symbols[i+1])
			if endOfGroup && isCardNumber(digits[:n]) {
				longest = n
			}
		case isSeparator(c) && separators < cardSeparatorsMax:
			separators++
		default:
			return longest
		}
	}
	return longest
}

// isCardNumber reports whether a network issues numbers of this length with these leading digits,
// and Luhn agrees. Digits are values from 0 to 9.
func isCardNumber(digits []byte) bool {
	return len(digits) >= cardDigitsMin && issuedByNetwork(digits) && luhnValid(digits)
}

// issuedByNetwork knows the issuer ranges of ISO/IEC 7812 as the networks publish them.
func issuedByNetwork(digits []byte) bool {
	length := len(digits)
	two := leading(digits, 2)
	three := leading(digits, 3)
	four := leading(digits, 4)
	switch {
	case digits[0] == 4: // Visa
		return length == 13 || length == 16 || length == 18 || length == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return length == 16
	case two == 34, two == 37: // American Express
		return length == 15
	case three >= 300 && three <= 305, four == 3095, two == 36, two == 38, two == 39: // Diners Club
		return length >= 14
	case four >= 3528 && four <= 3589, // JCB
		four == 6011, three >= 644 && three <= 649, two == 65, // Discover
		two == 62, two == 81: // UnionPay
		return length >= 16
	case four == 5018, four == 5020, four == 5038, four == 5893, four == 6304, four == 6390,
		four == 6759, four >= 6761 && four <= 6763: // Maestro
		return true
	default:
		return false
	}
}

// luhnValid checks the last digit by the Luhn formula (ISO/IEC 7812-1, annex B).
func luhnValid(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func leading(digits []byte, n int) int {
	value := 0
	for _, d := range digits[:n] {
		value = value*10 + int(d)
	}
	return value
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isSeparator(c byte) bool { return c == ' ' || c == '-' }

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func hexValue(c byte) int {
	if isDigit(c) {
		return int(c - '0')
	}
	return int(c|0x20-'a') + 10
}
