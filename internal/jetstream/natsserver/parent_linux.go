package natsserver

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the server when this process ends.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
