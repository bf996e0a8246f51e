package books

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// leaf is what a checkpoint says about one payment: which of its events it covers, and the hash of
// the last, which stands for all before it.
type leaf struct {
	paymentID   uuid.UUID
	first, last int64
	hash        messages.Hash
}

// leafSize is the size of a leaf in bytes: payment id, first and last version (big endian), hash.
const leafSize = 16 + 8 + 8 + sha256.Size

func (l *leaf) append(b []byte) []byte {
	b = append(b, l.paymentID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.first)) //nolint:gosec // G115: versions are positive
	b = binary.BigEndian.AppendUint64(b, uint64(l.last))  //nolint:gosec // G115: versions are positive
	return append(b, l.hash[:]...)
}

func encodeLeaves(leaves []leaf) []byte {
	b := make([]byte, 0, len(leaves)*leafSize)
	for i := range leaves {
		b = leaves[i].append(b)
	}
	return b
}

// decodeLeaves reads leaves back; those of a checkpoint are in the order of their payment ids,
// without any twice.
func decodeLeaves(b []byte) ([]leaf, error) {
	if len(b) == 0 || len(b)%leafSize != 0 {
		return nil, fmt.Errorf("%d bytes are not a number of leaves", len(b))
	}
	leaves := make([]leaf, 0, len(b)/leafSize)
	for ; len(b) > 0; b = b[leafSize:] {
		l := leaf{
			paymentID: uuid.UUID(b[:16]),
			first:     int64(binary.BigEndian.Uint64(b[16:])), //nolint:gosec // G115: as it was written
			last:      int64(binary.BigEndian.Uint64(b[24:])), //nolint:gosec // G115: as it was written
			hash:      messages.Hash(b[32:leafSize]),
		}
		if n := len(leaves); n > 0 && bytes.Compare(leaves[n-1].paymentID[:], l.paymentID[:]) >= 0 {
			return nil, fmt.Errorf("the leaves are out of order at payment %s", l.paymentID)
		}
		leaves = append(leaves, l)
	}
	return leaves, nil
}

// Before a leaf and before an inner node, so that neither can pass for the other (RFC 6962, section
// 2.1).
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// merkleRoot is the Merkle tree hash of RFC 6962 over encoded leaves, of which there is at least
// one.
func merkleRoot(encoded []byte) messages.Hash {
	h := sha256.New()
	n := len(encoded) / leafSize
	if n == 1 {
		h.Write([]byte{leafPrefix})
		h.Write(encoded)
		return messages.Hash(h.Sum(nil))
	}
	// The largest power of two below n.
	split := 1 << (bits.Len(uint(n-1)) - 1) * leafSize
	left, right := merkleRoot(encoded[:split]), merkleRoot(encoded[split:])
	h.Write([]byte{nodePrefix})
	h.Write(left[:])
	h.Write(right[:])
	return messages.Hash(h.Sum(nil))
}
