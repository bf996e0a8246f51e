package faulty

import "regexp"

// Delivery matches, from the server, a message of JetStream to a consumer whose subject begins with subjectPrefix.
func Delivery(subjectPrefix string) Match {
	return expression(`(?:^|\n)H?MSG ` + regexp.QuoteMeta(subjectPrefix) + `\S* \S+ \$JS\.ACK\.[^\r]+\r\n`)
}

// Ack matches, to the server, the plain acknowledgement of a delivery.
func Ack() Match { return expression(`PUB \$JS\.ACK\.\S+ (?:\S+ )?4\r\n\+ACK\r\n`) }

// Publish matches, to the server, the publication of a message whose subject begins with subjectPrefix.
func Publish(subjectPrefix string) Match {
	return expression(`(?:^|\n)H?PUB ` + regexp.QuoteMeta(subjectPrefix) + `[^\r]*\r\n`)
}

// PubAck matches, from the server, that a stream has stored a message or the whole of an atomic batch.
func PubAck(stream string) Match { return InOrder(`{"stream":"` + stream + `"`) }
