package main

import (
	"testing"

	"github.com/seed-384b1f8a/tender/cmd/internal/scripts"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
)

func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	scripts.CheckHelp(t, newRoot(&term.Env{Program: "tender"}))
}
