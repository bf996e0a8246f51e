package messages

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// The headers of a message. Tender reads their names in any case and writes them in this one.
const (
	HeaderMessageID      = "Nats-Msg-Id"
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderCorrelationID  = "Correlation-Id"
	// HeaderTraceparent and HeaderTracestate are of W3C Trace Context.
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
	HeaderContentType = "Content-Type"
	// The CloudEvents attributes in binary mode, with the prefix of the CloudEvents NATS binding.
	HeaderCESpecVersion = "ce-specversion"
	HeaderCEID          = "ce-id"
	HeaderCEType        = "ce-type"
	HeaderCESource      = "ce-source"
	HeaderCETime        = "ce-time"
	HeaderCESubject     = "ce-subject"
	// HeaderCEDataContentType is read as another name of Content-Type.
	HeaderCEDataContentType = "ce-datacontenttype"
)

const (
	cloudEventsVersion = "1.0"
	contentTypeJSON    = "application/json"
	// keyLengthMax bounds idempotency keys, in characters.
	keyLengthMax = 255
	// idLengthMax bounds ids, which may hold a key and what makes it unique; see CommandMessageID.
	idLengthMax = 512
)

// commandHeader is what the headers say about a command.
type commandHeader struct {
	id, idempotencyKey, correlationID, traceparent string
}

// readCommandHeader takes the headers in one pass: names in any case, each at most once.
func readCommandHeader(header nats.Header) (commandHeader, error) {
	var h commandHeader
	var ceID, messageID string
	for name, values := range header {
		var target *string
		var known string
		switch {
		case strings.EqualFold(name, HeaderTraceparent):
			if len(values) == 1 && isTraceparent(values[0]) {
				h.traceparent = values[0]
			}
			continue // A malformed one is ignored: tracing never stops a payment.
		case strings.EqualFold(name, HeaderTracestate):
			continue
		case strings.EqualFold(name, HeaderIdempotencyKey):
			target, known = &h.idempotencyKey, HeaderIdempotencyKey
		case strings.EqualFold(name, HeaderMessageID):
			target, known = &messageID, HeaderMessageID
		case strings.EqualFold(name, HeaderCEID):
			target, known = &ceID, HeaderCEID
		case strings.EqualFold(name, HeaderCorrelationID):
			target, known = &h.correlationID, HeaderCorrelationID
		default:
			if err := checkHeader(name, values); err != nil {
				return commandHeader{}, err
			}
			continue
		}
		if err := readID(target, known, values); err != nil {
			return commandHeader{}, err
		}
	}
	keySource := HeaderIdempotencyKey
	if h.idempotencyKey == "" {
		h.idempotencyKey, keySource = messageID, HeaderMessageID
	}
	if utf8.RuneCountInString(h.idempotencyKey) > keyLengthMax {
		return commandHeader{}, refuse(CodeInvalidHeader, "header "+keySource, "is longer than %d characters", keyLengthMax)
	}
	h.id = cmp.Or(ceID, messageID, h.idempotencyKey)
	return h, nil
}

// readID stores the single value of a header that names something.
func readID(target *string, name string, values []string) error {
	field := "header " + name
	if len(values) != 1 || *target != "" {
		return refuse(CodeInvalidHeader, field, "must be given once")
	}
	if err := checkID(field, values[0]); err != nil {
		return err
	}
	*target = values[0]
	return nil
}

// checkID refuses an id or key that is empty, too long, unprintable, padded or a card number.
func checkID(field, value string) error {
	switch {
	case value == "":
		return refuse(CodeInvalidHeader, field, "is empty")
	case utf8.RuneCountInString(value) > idLengthMax:
		return refuse(CodeInvalidHeader, field, "is longer than %d characters", idLengthMax)
	case !utf8.ValidString(value) || !isPrintable(value):
		return refuse(CodeInvalidHeader, field, "holds characters that cannot be printed")
	case value[0] == ' ' || value[len(value)-1] == ' ':
		return refuse(CodeInvalidHeader, field, "begins or ends with a space")
	case ContainsCardNumber([]byte(value)):
		return refuse(CodeCardNumberPresent, field, "looks like a card number")
	default:
		return nil
	}
}

// checkHeader looks at a header whose value Tender doesn't use.
func checkHeader(name string, values []string) error {
	for _, value := range values {
		if len(value) >= cardDigitsMin && ContainsCardNumber([]byte(value)) {
			return refuse(CodeCardNumberPresent, "header "+quote(name), "looks like a card number")
		}
		switch {
		case strings.EqualFold(name, HeaderCESpecVersion) && value != cloudEventsVersion:
			return refuse(CodeInvalidHeader, "header "+HeaderCESpecVersion, "must be %s, not %s", cloudEventsVersion, quote(value))
		case strings.EqualFold(name, HeaderContentType) || strings.EqualFold(name, HeaderCEDataContentType):
			if !isJSONContentType(value) {
				return refuse(CodeInvalidHeader, "header "+quote(name), "must be %s, not %s", contentTypeJSON, quote(value))
			}
		}
	}
	return nil
}

// isJSONContentType takes application/json and any +json type, with or without parameters such as
// charset.
func isJSONContentType(value string) bool {
	mediaType, _, _ := strings.Cut(value, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	return mediaType == contentTypeJSON || strings.HasSuffix(mediaType, "+json")
}

// isTraceparent checks the grammar of W3C Trace Context level 1 for version 00; ids of zeros are
// invalid.
func isTraceparent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	trace, parent, flags := s[3:35], s[36:52], s[53:]
	return isLowerHex(trace) && isLowerHex(parent) && isLowerHex(flags) &&
		strings.Trim(trace, "0") != "" && strings.Trim(parent, "0") != ""
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
