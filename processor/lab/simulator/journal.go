package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// errJournal is the reason that clients read once the journal has failed.
var errJournal = errors.New("the journal cannot be written")

// journal is an append-only file of records, one JSON object a line.
type journal struct {
	file *os.File
	sync bool
	// broken says that a record could not be written, after which the simulator does nothing.
	broken atomic.Bool
}

// open hands every whole record to restore, in order, and makes the file ready to be written. A
// last line without an end is a record that was being written when the simulator died; it was never
// answered, and is cut off.
func (j *journal) open(path string, restore func(sim.Record) error) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	end, err := readRecords(file, restore)
	if err == nil {
		err = file.Truncate(end)
	}
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("read journal %s: %w", path, err), file.Close())
	}
	j.file = file
	return nil
}

// readRecords returns the offset at which the last whole record ends.
func readRecords(file io.Reader, restore func(sim.Record) error) (int64, error) {
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
		var r sim.Record
		if err := json.Unmarshal(bytes.TrimSpace(line), &r); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		if err := restore(r); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		end += int64(len(line))
	}
}

// keep appends a record. It implements sim.Observer.Record.
func (j *journal) keep(r sim.Record) error {
	if err := j.write(r); err != nil {
		j.broken.Store(true)
		return errJournal
	}
	return nil
}

func (j *journal) write(r sim.Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil || !j.sync {
		return err
	}
	return j.file.Sync()
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
