package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HeaderSignature holds the signature of an event: "t=<unix seconds>,v1=<hex>", with one v1 for
// each secret.
const HeaderSignature = "Tender-Signature"

// The bounds of the signature header: more is not read.
const (
	signatureBytesMax = 2048
	signaturesMax     = 16
)

// The faults of a signature.
var (
	// ErrSignatureMalformed means that the header is missing or cannot be read.
	ErrSignatureMalformed = errors.New("the signature is missing or malformed")
	// ErrSignatureWrong means that none of the signatures was made with one of the secrets over
	// this body and time.
	ErrSignatureWrong = errors.New("the signature does not fit")
	// ErrSignatureTooOld means that the signature was made too long ago, or in the future.
	ErrSignatureTooOld = errors.New("the signature is too old")
)

// Sign returns the value of HeaderSignature for a body that is sent at that time: HMAC-SHA256 over
// "<unix seconds>.<body>", with each of the secrets. While a secret is being replaced, sign with
// both.
func Sign(body []byte, at time.Time, secrets ...string) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	var header strings.Builder
	header.WriteString("t=" + seconds)
	for _, secret := range secrets {
		header.WriteString(",v1=" + hex.EncodeToString(mac(secret, seconds, body)))
	}
	return header.String()
}

// Verify checks the signature of a body as it came over the wire. Any of the signatures may fit
// any of the secrets. Only then does its age count: it may be at most age old, and at most age
// ahead of now. It fails with one of the three errors above, and takes the same time for a
// signature that is nearly right.
func Verify(header string, body []byte, secrets []string, now time.Time, age time.Duration) error {
	seconds, signatures, err := parseSignature(header)
	if err != nil {
		return err
	}
	var fits bool
	for _, secret := range secrets {
		if secret == "" {
			continue // Every sender could sign with it.
		}
		want := mac(secret, seconds, body)
		for _, signature := range signatures {
			fits = hmac.Equal(want, signature) || fits
		}
	}
	if !fits {
		return ErrSignatureWrong
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignatureMalformed, err)
	}
	if off := now.Sub(time.Unix(unix, 0)); off > age || off < -age {
		return ErrSignatureTooOld
	}
	return nil
}

func mac(secret, seconds string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(seconds))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}

// parseSignature takes the header apart. The seconds are kept as they are written, since they were
// signed that way. Fields that a later version adds beside t and v1 are passed over.
func parseSignature(header string) (seconds string, signatures [][]byte, err error) {
	if header == "" || len(header) > signatureBytesMax {
		return "", nil, ErrSignatureMalformed
	}
	for part := range strings.SplitSeq(header, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !found:
			return "", nil, ErrSignatureMalformed
		case name == "t":
			if _, err := strconv.ParseUint(value, 10, 40); err != nil || seconds != "" {
				return "", nil, ErrSignatureMalformed
			}
			seconds = value
		case name == "v1":
			signature, err := hex.DecodeString(value)
			if err != nil || len(signature) != sha256.Size || len(signatures) == signaturesMax {
				return "", nil, ErrSignatureMalformed
			}
			signatures = append(signatures, signature)
		}
	}
	if seconds == "" || len(signatures) == 0 {
		return "", nil, ErrSignatureMalformed
	}
	return seconds, signatures, nil
}
