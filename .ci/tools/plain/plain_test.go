package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folderWith(t *testing.T, source, allowed string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"a/a.go": source, allowedFile: allowed, "a/testdata/b.go": "not Go"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestTheRatchet(t *testing.T) {
	t.Parallel()
	wide := "\t// " + strings.Repeat("x", 94) + "\n"
	source := "package a\n\n// Whatever it is.\nfunc f() string {\n" + wide + "\treturn `nobody\nand somebody`\n}\n"
	for name, tt := range map[string]struct{ source, allowed, wantErr, wantFile string }{
		"as written down":     {source, "a 1 3\n", "", ""},
		"more wide lines":     {source, "a 0 3\n", "more than allowed", ""},
		"more words":          {source, "a 1 2\n", "more than allowed", ""},
		"a new package":       {source, "", "more than allowed", ""},
		"less is written":     {source, "a 1 4\n", "make plain-lower", head + "a 1 3\n"},
		"a package is gone":   {"package a\n", "a 1 1\n", "make plain-lower", head},
		"an identifier":       {"package a\n\nvar nobody int\n", "", "", ""},
		"more is never taken": {source, "a 1 1\n", "more than allowed", "a 1 1\n"},
		"nonsense":            {source, "a one\n", "two numbers", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := folderWith(t, tt.source, tt.allowed)
			if err := run(io.Discard, folder, false, true); (err == nil) != (tt.wantErr == "") ||
				err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
			if tt.wantFile == "" {
				return
			}
			_ = run(io.Discard, folder, true, false) // refuses where there is more
			if got, err := os.ReadFile(filepath.Join(folder, allowedFile)); err != nil || string(got) != tt.wantFile {
				t.Errorf("written down %q, %v, want %q", got, err, tt.wantFile)
			}
		})
	}
}
