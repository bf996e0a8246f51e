package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256. Its text is lower-case hex; the zero value means none, and its text is empty.
type Hash [sha256.Size]byte

// EventHash returns the hash of an event, which the next event of its payment carries as its
// PreviousHash: SHA-256 over the traceparent, a line feed, and the body exactly as it is stored and
// published. So anyone can compute it:
//
//	printf '%s\n%s' "$traceparent" "$body" | sha256sum
func EventHash(traceparent string, body []byte) Hash {
	h := sha256.New()
	h.Write([]byte(traceparent))
	h.Write([]byte{'\n'})
	h.Write(body)
	return Hash(h.Sum(nil))
}

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns the hash in hex, "" for none.
func (h Hash) String() string {
	if h.IsZero() {
		return ""
	}
	return hex.EncodeToString(h[:])
}

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes what MarshalText gives, and nothing
// else: a hash has one text.
func (h *Hash) UnmarshalText(text []byte) error {
	*h = Hash{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(h)) || !isLowerHex(string(text)) {
		return fmt.Errorf("a hash must be %d digits of lower-case hex", hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}
