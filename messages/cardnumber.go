package messages

import "bytes"

// Card numbers never travel in messages: JetStream, the outbox, dead letters and logs are all
// storage (PCI DSS 3.5.1). What counts as one, here and in MaskCardNumbers:
//
//   - 13 to 19 digits, in groups separated by up to three spaces or hyphens; whole groups only, so
//     that neither the inside of a longer number nor a dotted or slashed one counts,
//   - a length and leading digits that Visa, Mastercard, American Express, Discover, Diners Club,
//     JCB, UnionPay or Maestro issue,
//   - a right Luhn check digit,
//   - written plainly or as JSON escapes (\u0034 is a 4), in strings, keys and bare numbers alike,
//   - and not part of a UUID or of 32 or more hexadecimal digits, which ids and hashes are made of.
//
// About one in ten random numbers of a network's length and prefix passes Luhn, so a merchant's own
// 16-digit reference that begins like a card may be refused; a prefix of letters does not help,
// another length does.
const (
	cardDigitsMin     = 13
	cardDigitsMax     = 19
	cardSeparatorsMax = 3
	// maskedDigitsShown is how many digits of a card number may be seen.
	maskedDigitsShown = 4
	hashDigitsMin     = 32
)

// ContainsCardNumber reports whether b holds what looks like a card number. It takes time linear in
// len(b), and well under a microsecond for an ordinary message that holds no 13 digits.
func ContainsCardNumber(b []byte) bool {
	if !mayHoldCardNumber(b) {
		return false
	}
	_, found := readCardText(b).find(0)
	return found
}

// MaskCardNumbers returns b with every digit of a card number but the last four replaced by "*".
// ContainsCardNumber is false for the result. It returns b itself if there is nothing to mask, and
// never changes b. A masked bare JSON number is no longer JSON.
func MaskCardNumbers(b []byte) []byte {
	if !mayHoldCardNumber(b) {
		return b
	}
	text := readCardText(b)
	var masked []byte
	copied := 0 // how much of b stands in masked already
	for from := 0; ; {
		number, found := text.find(from)
		if !found {
			break
		}
		hidden := number.digits - maskedDigitsShown
		for from = number.start; hidden > 0; from++ {
			if !isDigit(text.symbols[from]) {
				continue
			}
			masked = append(masked, b[copied:text.offset(from)]...)
			masked = append(masked, '*')
			copied = text.offset(from + 1)
			hidden--
		}
	}
	if copied == 0 {
		return b
	}
	return append(masked, b[copied:]...)
}

// mayHoldCardNumber is the quick test that nearly every message ends with: are there 13 digits with
// little between them?
func mayHoldCardNumber(b []byte) bool {
	digits, separators := 0, 0
	for _, c := range b {
		switch {
		case isDigit(c):
			separators = 0
			if digits++; digits == cardDigitsMin {
				return true
			}
		case isSeparator(c) && separators < cardSeparatorsMax:
			separators++
		default:
			digits = 0
		}
	}
	return bytes.Contains(b, []byte(`\u00`))
}

// cardText is text as it reads once JSON escapes are undone, with UUIDs and hashes blanked out.
type cardText struct {
	symbols []byte
	// offsets[i] is where symbols[i] begins in the original, with one more for its end; nil if
	// nothing was escaped.
	offsets []int
}

// blank stands for a character that cannot be part of a card number.
const blank = 'x'

func readCardText(b []byte) cardText {
	var t cardText
	if !bytes.Contains(b, []byte(`\u`)) {
		t.symbols = bytes.Clone(b)
	} else {
		t.symbols = make([]byte, 0, len(b))
		t.offsets = make([]int, 0, len(b)+1)
		for i := 0; i < len(b); {
			symbol, size := nextSymbol(b[i:])
			t.symbols = append(t.symbols, symbol)
			t.offsets = append(t.offsets, i)
			i += size
		}
		t.offsets = append(t.offsets, len(b))
	}
	blankIdentifiers(t.symbols)
	return t
}

// nextSymbol reads one byte or one JSON escape. Any number of backslashes may precede the escape,
// for JSON inside JSON.
func nextSymbol(b []byte) (symbol byte, size int) {
	if b[0] != '\\' {
		return b[0], 1
	}
	slashes := 1
	for slashes < len(b) && b[slashes] == '\\' {
		slashes++
	}
	escape := b[slashes:]
	if len(escape) < 5 || escape[0] != 'u' {
		return blank, slashes
	}
	code := 0
	for _, c := range escape[1:5] {
		if !isHex(c) {
			return blank, slashes
		}
		code = code<<4 | hexValue(c)
	}
	if code > 0x7f {
		return blank, slashes + 5
	}
	return byte(code), slashes + 5
}

// blankIdentifiers blanks UUIDs and long runs of hexadecimal digits.
func blankIdentifiers(symbols []byte) {
	for i := 0; i < len(symbols); {
		end := i
		for end < len(symbols) && isHex(symbols[end]) {
			end++
		}
		switch {
		case end-i >= hashDigitsMin:
			fill(symbols[i:end])
		case end-i == 8 && beginsWithUUID(symbols[i:]):
			end = i + 36
			fill(symbols[i:end])
		}
		i = max(end, i+1)
	}
}

func beginsWithUUID(symbols []byte) bool {
	if len(symbols) < 36 || len(symbols) > 36 && isHex(symbols[36]) {
		return false
	}
	for i, c := range symbols[:36] {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !isHex(c) {
				return false
			}
		}
	}
	return true
}

func fill(symbols []byte) {
	for i := range symbols {
		symbols[i] = blank
	}
}

// offset returns where symbol i begins in the original.
func (t cardText) offset(i int) int {
	if t.offsets == nil {
		return i
	}
	return t.offsets[i]
}
