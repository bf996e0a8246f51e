package servers

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Making a home sweeps first, while other processes may remove their homes.
func TestHomesAreRemovedWhileOthersSweep(t *testing.T) {
	t.Parallel()
	shop := workshop{dir: t.TempDir()}
	var homes []*home
	for range 300 {
		dir, err := os.MkdirTemp(shop.dir, homePrefix) //nolint:usetesting // in the folder of homes, with their prefix
		if err != nil {
			t.Fatal(err)
		}
		made, err := claimHome(dir)
		if err != nil {
			t.Fatal(err)
		}
		made.temporary = true
		homes = append(homes, made)
	}
	removed := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-removed:
				return
			default:
				if err := shop.sweep(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for _, h := range homes {
		if err := h.release(); err != nil {
			t.Error(err)
		}
	}
	close(removed)
	sweeping.Wait()
	if left, err := filepath.Glob(filepath.Join(shop.dir, homePrefix+"*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestAbandonedHomesAreSweptAndOthersKept(t *testing.T) {
	t.Parallel()
	shop := workshop{dir: t.TempDir()}
	lived, err := shop.newHome(t.Context(), account{}, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	abandoned := []string{homePrefix + "draft", homePrefix + "left"} // one without a lock, one without a holder
	for _, name := range abandoned {
		if err := os.MkdirAll(filepath.Join(shop.dir, name, dataName), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(shop.dir, abandoned[1], lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := shop.sweep(); err != nil {
		t.Fatal(err)
	}
	for _, name := range abandoned {
		if _, err := os.Stat(filepath.Join(shop.dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there still: %v", name, err)
		}
	}
	if _, err := os.Stat(lived.dir); err != nil {
		t.Errorf("a home in use was swept: %v", err)
	}
	if err := lived.release(); err != nil {
		t.Error(err)
	}
}
