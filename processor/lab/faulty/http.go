package faulty

import "regexp"

// Request matches, to the server, an HTTP/1.1 request whose first line begins so, such as "POST /operations".
func Request(line string) Match { return expression(regexp.QuoteMeta(line) + `\S* HTTP/1\.1\r\n`) }

// Response matches, from the server, the beginning of an HTTP/1.1 response.
func Response() Match { return InOrder("HTTP/1.1 ") }
