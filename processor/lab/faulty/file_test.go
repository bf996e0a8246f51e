package faulty_test

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

func TestOursFilesAreDamaged(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(t.TempDir(), "1.blk")
	whole := bytes.Repeat([]byte("command "), 1000)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := faulty.FlipBits(path, 5, random.IntN); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || len(text) != len(whole) {
		t.Fatalf("%d bytes of %d: %v", len(text), len(whole), err)
	}
	flipped := 0
	for i := range text {
		flipped += bits.OnesCount8(text[i] ^ whole[i])
	}
	if flipped != 5 {
		t.Errorf("%d bits are flipped", flipped)
	}
	for _, want := range []int{7000, 0} {
		if err := faulty.Shorten(path, 1000); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != int64(want) {
			t.Errorf("the file has %d bytes, want %d: %v", info.Size(), want, err)
		}
		_ = faulty.Shorten(path, 6500)
	}
	if err := faulty.FlipBits(path, 5, random.IntN); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	if faulty.Shorten(path+"x", 1) == nil || faulty.FlipBits(path+"x", 1, random.IntN) == nil {
		t.Error("a file that is missing was damaged")
	}
}
