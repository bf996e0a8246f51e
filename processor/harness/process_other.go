//go:build unix && !linux

package harness

import "syscall"

// dieWithParent has no counterpart outside Linux: there a server whose parent was killed runs on until it is stopped
// by hand, and a start on the same folder says so.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
