package harness

import "syscall"

// dieWithParent asks the kernel to send the signal to the program when the thread that started it ends.
func dieWithParent(attributes *syscall.SysProcAttr, signal syscall.Signal) {
	attributes.Pdeathsig = signal
}
