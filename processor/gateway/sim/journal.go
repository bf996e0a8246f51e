package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-384b1f8a/tender/messages"
)

// journal is an append-only file of records, one JSON object a line.
type journal struct {
	file *os.File
	sync bool
}

// open reads the journal back and makes it ready to be written. A last line without an end is a record that was being written when the
// simulator died; it was never answered, and is cut off.
func (s *Simulator) open(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	end, err := s.read(file)
	if err == nil {
		err = file.Truncate(end)
	}
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("read journal %s: %w", path, err), file.Close())
	}
	s.journal = &journal{file: file, sync: s.config.Sync}
	return nil
}

// read applies every whole record and returns where the last one ends.
func (s *Simulator) read(file io.Reader) (int64, error) {
	lines := bufio.NewReader(file)
	var end int64
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		var r record
		if err := json.Unmarshal(bytes.TrimSpace(line), &r); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		if err := s.fits(r); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		s.apply(r)
		end += int64(len(line))
	}
}

// fits reports what is wrong with a record as the next one.
func (s *Simulator) fits(r record) error {
	if r.Entry != nil && r.Entry.Sequence != int64(len(s.entries))+1 {
		return fmt.Errorf("entry %d follows entry %d", r.Entry.Sequence, len(s.entries))
	}
	if r.Entry != nil && r.Entry.Reversal {
		if _, found := s.authorizations[r.Entry.AuthorizationReference]; !found {
			return fmt.Errorf("entry %d reverses what does not exist", r.Entry.Sequence)
		}
		return nil
	}
	if r.Operation.Kind == messages.OperationAuthorize || r.Answer.Outcome == messages.OutcomeDeclined {
		return nil
	}
	if _, found := s.authorizations[r.Operation.GatewayReference]; !found {
		return fmt.Errorf("operation %s is on an authorization that does not exist", r.Operation.ID)
	}
	return nil
}

// keep writes a record to the journal, if there is one.
func (s *Simulator) keep(r record) error {
	if s.journal == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record of operation %s: %w", r.Operation.ID, err)
	}
	if _, err := s.journal.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write record of operation %s: %w", r.Operation.ID, err)
	}
	if !s.journal.sync {
		return nil
	}
	if err := s.journal.file.Sync(); err != nil {
		return fmt.Errorf("sync record of operation %s: %w", r.Operation.ID, err)
	}
	return nil
}

func (j *journal) close() error {
	if err := j.file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync journal: %w", err), j.file.Close())
	}
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
