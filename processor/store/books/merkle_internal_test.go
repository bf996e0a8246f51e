package books

import (
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

func someLeaves(n int) []leaf {
	leaves := make([]leaf, n)
	for i := range leaves {
		leaves[i] = leaf{uuid.UUID{0: 1, 15: byte(i)}, int64(i), int64(i + 300), messages.Hash{31: byte(i)}}
	}
	return leaves
}

// The root is that of RFC 6962, section 2.1, written out by hand for the shapes a tree can have.
func TestMerkleRootIsThatOfTheRFC(t *testing.T) {
	t.Parallel()
	l := func(i int) []byte {
		leaf := someLeaves(8)[i]
		h := sha256.Sum256(slices.Concat([]byte{0}, leaf.append(nil)))
		return h[:]
	}
	n := func(a, b []byte) []byte {
		h := sha256.Sum256(slices.Concat([]byte{1}, a, b))
		return h[:]
	}
	for i, want := range [][]byte{
		l(0),
		n(l(0), l(1)),
		n(n(l(0), l(1)), l(2)),
		n(n(l(0), l(1)), n(l(2), l(3))),
		n(n(n(l(0), l(1)), n(l(2), l(3))), l(4)),
		n(n(n(l(0), l(1)), n(l(2), l(3))), n(l(4), l(5))),
		n(n(n(l(0), l(1)), n(l(2), l(3))), n(n(l(4), l(5)), l(6))),
	} {
		if got := merkleRoot(encodeLeaves(someLeaves(i + 1))); got != messages.Hash(want) {
			t.Errorf("of %d leaves: %s, want %x", i+1, got, want)
		}
	}
}

func TestLeavesAreReadBack(t *testing.T) {
	t.Parallel()
	leaves := someLeaves(5)
	encoded := encodeLeaves(leaves)
	got, err := decodeLeaves(encoded)
	if diff := cmp.Diff(leaves, got, cmp.AllowUnexported(leaf{})); diff != "" || err != nil {
		t.Errorf("%v; -written +read:\n%s", err, diff)
	}
	for name, bad := range map[string][]byte{
		"none": {}, "cut off": encoded[1:], "twice": slices.Concat(encoded, encoded[4*leafSize:]),
		"out of order": slices.Concat(encoded[leafSize:], encoded[:leafSize]),
	} {
		if _, err := decodeLeaves(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
