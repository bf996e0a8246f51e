// Plain holds the comments and the messages of the Go files below a folder to the house's English:
// comment lines end by column 100, and no text says nobody, somebody, anybody, everybody, whoever
// or whatever instead of naming who or what.
//
//	plain [-lower] [-list] FOLDER
//
// The file .ci/plain.txt in the folder says how many of each a package may still have. It is a
// ratchet: more than allowed is a failure, and so is less, until -lower has written the smaller
// number down. -list names each place.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	allowedFile = ".ci/plain.txt"
	columnsMax  = 100
	tabColumns  = 4
	head        = "# What each package may still have: comment lines beyond column 100, and words that name nobody. Only ever less.\n"
)

var words = regexp.MustCompile(`(?i)\b(nobody|somebody|anybody|everybody|whoever|whatever)\b`)

// count is the findings in one package.
type count struct{ wide, words int }

func main() {
	lower := flag.Bool("lower", false, "write smaller numbers down")
	list := flag.Bool("list", false, "name each place")
	flag.Parse()
	if err := run(os.Stdout, flag.Arg(0), *lower, *list); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, folder string, lower, list bool) error {
	places := io.Discard
	if list {
		places = w
	}
	found, err := look(folder, places)
	if err != nil {
		return err
	}
	allowed, err := read(filepath.Join(folder, allowedFile))
	if err != nil {
		return err
	}
	var grown, shrunk []string
	for _, name := range slices.Sorted(maps.Keys(merged(found, allowed))) {
		have, may := found[name], allowed[name]
		line := fmt.Sprintf("%s: %d comment lines beyond column %d (%d allowed), %d words (%d allowed)",
			name, have.wide, columnsMax, may.wide, have.words, may.words)
		switch {
		case have.wide > may.wide || have.words > may.words:
			grown = append(grown, line)
		case have != may:
			shrunk = append(shrunk, line)
		}
	}
	switch {
	case grown != nil:
		return fmt.Errorf("more than allowed; plain -list names the places:\n%s", strings.Join(grown, "\n"))
	case shrunk != nil && !lower:
		return fmt.Errorf("better than written down: run make plain-lower\n%s", strings.Join(shrunk, "\n"))
	case lower:
		return write(filepath.Join(folder, allowedFile), found)
	}
	return nil
}

func merged(a, b map[string]count) map[string]count {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// look counts in every Go file that git would track by name: hidden folders and testdata are left
// out.
func look(folder string, places io.Writer) (map[string]count, error) {
	found := make(map[string]count)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != folder && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		c, err := lookAt(filepath.ToSlash(relative), source, places)
		if err != nil {
			return err
		}
		if c != (count{}) {
			dir := filepath.ToSlash(filepath.Dir(relative))
			sum := found[dir]
			found[dir] = count{sum.wide + c.wide, sum.words + c.words}
		}
		return nil
	})
	return found, err
}

// lookAt counts in one file. Comments are looked at by the line, string literals whole.
func lookAt(name string, source []byte, places io.Writer) (count, error) {
	if _, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution); err != nil {
		return count{}, err
	}
	var c count
	for i, line := range strings.Split(string(source), "\n") {
		if text := strings.TrimLeft(line, "\t"); strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "//nolint") &&
			!strings.HasPrefix(text, "//go:") && utf8.RuneCountInString(text)+tabColumns*(len(line)-len(text)) > columnsMax {
			c.wide++
			fmt.Fprintf(places, "%s:%d: %s\n", name, i+1, text)
		}
	}
	files := token.NewFileSet()
	file := files.AddFile(name, -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		pos, kind, text := s.Scan()
		if kind == token.EOF {
			return c, nil
		}
		if kind != token.COMMENT && kind != token.STRING {
			continue
		}
		for _, at := range words.FindAllStringIndex(text, -1) {
			c.words++
			fmt.Fprintf(places, "%s:%d: %s\n", name, files.Position(pos).Line+strings.Count(text[:at[0]], "\n"), text[at[0]:at[1]])
		}
	}
}

func read(path string) (map[string]count, error) {
	allowed := make(map[string]count)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing", path)
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var name string
		var c count
		if _, err := fmt.Sscan(line, &name, &c.wide, &c.words); err != nil {
			return nil, fmt.Errorf("%s: %q: must be a package and two numbers", path, line)
		}
		allowed[name] = c
	}
	return allowed, nil
}

func write(path string, found map[string]count) error {
	text := head
	for _, name := range slices.Sorted(maps.Keys(found)) {
		text += fmt.Sprintf("%s %d %d\n", name, found[name].wide, found[name].words)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
