package faulty

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Statement matches, to the server, an execution of sql, with exactly the text of the program. It
// knows the forms of pgx: a prepared statement bound by the name that pgx derives from the text,
// or the text itself in a simple query or an unnamed statement. The preparation of a statement is
// no match.
func Statement(sql string) Match {
	digest := sha256.Sum256([]byte(sql))
	name := "stmtcache_" + hex.EncodeToString(digest[:24])
	// Of a Bind and of a Parse the first field is the name of a portal or a statement, empty here.
	return first(message('B', "\x00"+name+"\x00"), message('Q', sql+"\x00"), message('P', "\x00"+sql+"\x00"))
}

// StatementWith matches, to the server, an execution of a prepared statement with part in its
// text. It learns the names of statements from their preparation, so set the trap before the
// connection is made, without Skip.
func StatementWith(part string) Match {
	return func(window []byte) int {
		for at := bytes.Index(window, []byte(part)); at >= 0; {
			begins := bytes.LastIndex(window[:at], []byte("stmtcache_"))
			name, _, ended := bytes.Cut(window[max(0, begins):at], []byte{0})
			if begins >= 0 && ended {
				if end := message('B', "\x00"+string(name)+"\x00")(window[at:]); end > 0 {
					return at + end
				}
			}
			next := bytes.Index(window[at+1:], []byte(part))
			if next < 0 {
				return 0
			}
			at += 1 + next
		}
		return 0
	}
}

// CommitWith matches, to the server, the COMMIT of a transaction in which the client sent text,
// for instance as part of a parameter. Text outside a transaction, or in one that was rolled back,
// does not count.
func CommitWith(text string) Match {
	begin := first(Statement("begin"), Statement("BEGIN"), message('Q', "begin "), message('Q', "BEGIN "))
	commit := first(Statement("commit"), Statement("COMMIT"))
	return func(window []byte) int {
		for begun := 0; ; {
			size := commit(window[begun:])
			if size == 0 {
				return 0
			}
			end := begun + size
			for next := begin(window[begun:end]); next > 0; next = begin(window[begun:end]) {
				begun += next // the last one counts
			}
			if bytes.Contains(window[begun:end], []byte(text)) {
				return end
			}
			begun = end
		}
	}
}

// Committed matches, from the server, that a transaction was committed. It serves as the Reply of a
// trap for a commit.
func Committed() Match { return message('C', "COMMIT\x00") }

// message matches a message of PostgreSQL by its letter and the beginning of what follows its
// length, as in https://www.postgresql.org/docs/current/protocol-message-formats.html.
func message(letter byte, beginning string) Match {
	const head = 1 + 4 // the letter and the length, which counts itself but not the letter
	return func(window []byte) int {
		for from := head; from < len(window); from++ {
			at := bytes.Index(window[from:], []byte(beginning))
			if at < 0 {
				return 0
			}
			from += at
			length := binary.BigEndian.Uint32(window[from-head+1:])
			if window[from-head] == letter && uint64(length) >= uint64(4+len(beginning)) && length < windowMax {
				return from + len(beginning)
			}
		}
		return 0
	}
}
